"""What can still be learnt of a recorded run: its code, its memory, its calls, what a model makes of it."""
