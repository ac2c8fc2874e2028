"""Judging a retry: did it get further, what is new, what was faked, how is the program at the end."""
