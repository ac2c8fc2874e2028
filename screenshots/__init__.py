"""The pictures of the terminal app that the README and docs/ui.md show, and what draws them."""
