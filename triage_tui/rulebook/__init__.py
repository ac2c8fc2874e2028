"""Rule sets on disk: headers, lint, generations and the patches of runs."""
