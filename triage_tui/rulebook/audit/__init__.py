"""Who decided what on rules, when and why, and the proof that nothing of it was changed."""
