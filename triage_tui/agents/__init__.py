"""Outside agents: the tools of the analyst over the Model Context Protocol."""
