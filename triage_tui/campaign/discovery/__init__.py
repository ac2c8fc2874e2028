"""What a root file system would start, read from its own files; nothing of it is ever executed."""
