"""What a shell script starts, found by following its text: variables, tests, loops, functions, files."""
