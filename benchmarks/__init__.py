"""Figures: each module measures one thing in one go and prints a table with ratios. Nothing is asserted."""
