"""Staged rollouts: a rule is observed, then acts for one target, for a group, and for all."""
