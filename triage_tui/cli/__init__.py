"""One module per command: each parses its arguments, calls, and prints. No logic lives here."""
