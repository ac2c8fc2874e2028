"""A run for others to read: as Markdown, as one HTML file, as a bundle of its files."""
