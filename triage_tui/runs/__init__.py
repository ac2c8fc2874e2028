"""What one intervention is on disk: model, write, read, list, watch, evidence. Knows no other part."""
