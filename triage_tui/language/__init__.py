"""In which language reports are written: catalogues of our own sentences, and which of them is wanted."""
