"""The line in which a directory for exports is typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.ui.exporting import directory_of
from triage_tui.ui.widgets.line_view import LineView
from triage_tui.ui.widgets.typed_line import TypedLine


class DirectoryLine(TypedLine):
    """Enter takes the directory; the line stays while it names none."""

    KEYS = (("⏎", "this directory", "keep"), ("esc", "leave", "drop"))

    def __init__(self, view: LineView, take: Callable[[Path], None]) -> None:
        """`take` is called with the directory."""
        super().__init__(view, "export to", "a directory; it is made if it is not there")
        self._take = take

    def action_keep(self) -> None:
        """Take the directory."""
        try:
            directory = directory_of(self.typed)
        except TriageError as error:
            self.main.say(str(error), "warning")
            return
        super().action_keep()
        self._take(directory)
