"""Many targets played through the loop, on one machine or on many, and what came of each."""
