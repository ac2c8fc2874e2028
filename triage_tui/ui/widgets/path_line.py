"""The line in which the name of a file is typed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from triage_tui.ui.widgets.line_view import LineView
from triage_tui.ui.widgets.typed_line import TypedLine


class PathLine(TypedLine):
    """Enter takes the file; the line stays while it names none."""

    KEYS = (("⏎", "this file", "keep"), ("esc", "leave", "drop"))

    def __init__(self, view: LineView, take: Callable[[Path], None], sign: str, hint: str, what: str) -> None:
        """`take` is called with the path; `what` names what is wanted, with its article."""
        super().__init__(view, sign, hint)
        self._take, self._what = take, what

    def action_keep(self) -> None:
        """Take the file."""
        text = self.typed.strip()
        path = Path(os.path.expanduser(text)).absolute()
        if not text or "\0" in text or not path.is_file():
            self.main.say(f"Type the name of {self._what}.", "warning")
            return
        super().action_keep()
        self._take(path)
