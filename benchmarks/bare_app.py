"""The least a Textual app can be, to compare with: one line of text."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static

SHOWN = "bare-app-is-painted"


class BareApp(App[None]):
    """One static line."""

    def compose(self) -> ComposeResult:
        """Show it."""
        yield Static(SHOWN)


if __name__ == "__main__":
    BareApp().run()
