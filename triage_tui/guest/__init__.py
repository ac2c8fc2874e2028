"""The emulated program: started, contained, watched, frozen and read."""
