"""How often the diagnosis is right: labelled failures of real programs, prepared, run, and judged."""
