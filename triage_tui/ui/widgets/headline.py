"""The header line: as many of its clauses as fit into the lines that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.widgets import Static

from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.ui.headline import Headline

LINES = 3
"""Lines that it has at most."""


class HeadlineView(Static):
    """Shows a headline, or one sentence in its place."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._line: Headline | str = ""
        self._shown = ""

    def show(self, line: Headline | str) -> None:
        """Show another line."""
        self._line = line
        self.fit()

    def fit(self) -> None:
        """Choose what fits into the place that there is."""
        if isinstance(self._line, str):
            text = safe_line(self._line, 600)
        else:
            from triage_tui.ui.headline import fitted

            width = self.content_size.width or self.screen.size.width - 4
            lines = 1 if self.screen.has_class("-terse") else LINES
            # Words are not cut at the end of a line, so lines are not quite full.
            text = fitted(self._line, width * lines - (lines - 1) * 10)
        if text != self._shown:
            self._shown = text
            self.update(Content(text))

    def on_resize(self, event: events.Resize) -> None:
        """Fit it again."""
        self.fit()
