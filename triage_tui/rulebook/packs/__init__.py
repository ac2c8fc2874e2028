"""Rules of one target as one signed file for others."""
