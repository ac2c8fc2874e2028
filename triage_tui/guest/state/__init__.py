"""What can be seen of a frozen guest."""
