"""Rounds of one target: run, decide, run again with the rules, and judge whether it got further."""
