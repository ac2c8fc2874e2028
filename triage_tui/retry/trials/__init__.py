"""Running a program with other rules than the active ones, in copies that are thrown away."""
