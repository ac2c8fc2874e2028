"""What a person decides about rules: named, checked, tried, approved, moved, set aside and renewed."""
