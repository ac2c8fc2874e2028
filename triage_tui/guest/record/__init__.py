"""The run record that is made of a frozen guest."""
