"""What holds a guest: the cell, its init, and what is refused in it."""
