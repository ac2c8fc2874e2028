"""Sheets over the main screen; the one with all keys is made from the one list of actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from triage_tui.text import safe_line
from triage_tui.ui.actions import ACTIONS
from triage_tui.ui.rows import BLANK, ListRows, Row, fit, heading, wrap_parts
from triage_tui.ui.widgets.line_view import LineView


def help_rows(width: int, keymap: Mapping[str, str], read_only: bool) -> list[Row]:
    """Return the sections of the help screen; `keymap` holds the keys that the user changed."""
    rows: list[Row] = []
    for section in dict.fromkeys(action.section for action in ACTIONS):
        if rows:
            rows.append(BLANK)
        rows.append(heading(section, width))
        for action in ACTIONS:
            if action.section != section or (read_only and action.writes):
                continue
            key = safe_line(keymap[action.id], 20) if action.id in keymap else action.shown_key
            lines = wrap_parts([(action.help, "")], max(20, width - 13))
            for number, parts in enumerate(lines):
                head = ((fit(f"  {key}", 12), "key"), (" ", "")) if number == 0 else ((" " * 13, ""),)
                rows.append(Row((*head, *parts)))
    return rows


class Sheet(ModalScreen[None]):
    """Rows over the main screen, to be read and left: the keys, everything about one syscall."""

    CSS_PATH = "../styles/help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss(None)", "leave", show=False, priority=True)
    ]

    def __init__(self, title: str, build: Callable[[int], list[Row]], *, wide: bool = False) -> None:
        super().__init__(classes="-wide" if wide else None)
        self._heading = title
        self._build = build

    def compose(self) -> ComposeResult:
        """Show the rows in a frame."""
        with Vertical(id="help") as frame:
            frame.border_title = Content(safe_line(self._heading, 80))
            frame.border_subtitle = Content("esc leave")
            yield LineView(id="help-rows")

    def on_mount(self) -> None:
        """Build the rows."""
        view = self.query_one(LineView)
        view.set_rows(ListRows(self._build))
        view.focus()


class HelpScreen(Sheet):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "dismiss(None)", "leave", show=False)
    ]

    def __init__(self, keymap: Mapping[str, str], read_only: bool) -> None:
        super().__init__("Keys", lambda width: help_rows(width, keymap, read_only))
