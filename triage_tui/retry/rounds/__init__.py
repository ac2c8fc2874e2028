"""Rounds of one target: the loop, what follows each round, where a course stands, and who decides."""
