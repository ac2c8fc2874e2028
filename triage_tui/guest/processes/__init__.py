"""A guest's processes: which there are, what they execute, what they execute next."""
