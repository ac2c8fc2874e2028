"""Held calls: how they reach the supervisor, what is decided, how they are answered."""
