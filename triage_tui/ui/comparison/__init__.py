"""Two runs side by side: what is the same in both, what differs, and how. Without a screen."""
