"""What the judge of a retry looks at: what is new, what was faked, how the program is at the end."""
