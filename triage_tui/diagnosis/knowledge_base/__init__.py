"""The knowledge base as something to write, check and trust: reading, lint, cases, explaining, measuring."""
