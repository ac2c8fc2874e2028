"""When a guest is frozen and why, and how it is stopped and goes on unharmed."""
