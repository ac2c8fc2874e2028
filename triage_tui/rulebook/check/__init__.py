"""What rules do, what is wrong with them, and what they would have done in recorded runs."""
