"""Sheets over the main screen; the one with all keys is made from the one list of actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from triage_tui.text import safe_line
from triage_tui.ui.actions import ACTIONS
from triage_tui.ui.rows import BLANK, ListRows, Row, clip, fit, heading, wrap_parts
from triage_tui.ui.screens.modal import Modal
from triage_tui.ui.widgets.field import Field
from triage_tui.ui.widgets.line_view import LineView


def help_rows(
    width: int, keymap: Mapping[str, str], read_only: bool, wanted: Sequence[str] = ()
) -> list[Row]:
    """Return the sections of the help screen: all, or the actions that all words `wanted` are found in.

    `keymap` holds the keys that the user changed.
    """
    rows: list[Row] = []
    for section in dict.fromkeys(action.section for action in ACTIONS):
        found: list[Row] = []
        for action in ACTIONS:
            if action.section != section or (read_only and action.writes):
                continue
            key = clip(keymap.get(action.id, action.shown_key), 20) or "none"
            about = f"{section} {action.label} {action.help} {action.id}".lower()
            if any(word not in about and word != key.lower() for word in wanted):
                continue
            lines = wrap_parts([(action.help, "")], max(20, width - 13))
            for number, parts in enumerate(lines):
                head = ((fit(f"  {key}", 12), "key"), (" ", "")) if number == 0 else ((" " * 13, ""),)
                found.append(Row((*head, *parts)))
        if found:
            rows += [*([BLANK] if rows else []), heading(section, width), *found]
    return rows


class Sheet(Modal[None]):
    """Rows over the main screen, to be read and left: the keys, everything about one syscall.

    "/" opens a line in which one types what the rows that stay must hold.
    """

    CSS_PATH = "../styles/help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False, priority=True),
        Binding("q", "dismiss(None)", "leave", show=False),
        Binding("slash", "find", "find", show=False),
    ]

    LIST: ClassVar[type[LineView]] = LineView
    """The list that shows the rows."""

    def __init__(self, title: str, build: Callable[[int], list[Row]], *, wide: bool = False) -> None:
        super().__init__(classes="-wide" if wide else None)
        self._heading = title
        self._build = build

    def compose(self) -> ComposeResult:
        """Show the rows in a frame."""
        with Vertical(id="help") as frame:
            frame.border_title = Content(safe_line(self._heading, 80))
            frame.border_subtitle = Content("/ find   esc leave")
            yield self.LIST(id="help-rows", empty="Nothing here holds that.")
            yield Field(self._to_rows, hint="words to find", id="help-find")

    def on_mount(self) -> None:
        """Build the rows."""
        self.query_one("#help-find", Field).display = False
        self.show_found("")
        self._to_rows()

    def found(self, width: int, words: Sequence[str]) -> list[Row]:
        """Return the rows that hold all words (lower case)."""
        rows = self._build(width)
        if not words:
            return rows
        return [row for row in rows if all(word in f"{row.text} {row.whole}".lower() for word in words)]

    def show_found(self, text: str) -> None:
        """Show the rows that hold all words of `text`."""
        words = text.lower().split()
        self.query_one(LineView).set_rows(ListRows(lambda width: self.found(width, words)), cursor=0)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Follow every key."""
        if event.input.id == "help-find":
            event.stop()
            self.show_found(event.value)

    def _to_rows(self) -> None:
        """Go to what was found."""
        self.set_focus(self.query_one(LineView))

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        """Do what Enter does here."""
        event.stop()
        self.opened(event)

    def opened(self, event: LineView.Opened) -> None:
        """Leave."""
        self.dismiss(None)

    def action_find(self) -> None:
        """Type what to find."""
        field = self.query_one("#help-find", Field)
        field.display = True
        self.set_focus(field)

    def action_leave(self) -> None:
        """Leave what is typed first, then the sheet."""
        field = self.query_one("#help-find", Field)
        if field.display:
            field.value = ""
            field.display = False
            self._to_rows()
        else:
            self.dismiss(None)


class HelpScreen(Sheet):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "dismiss(None)", "leave", show=False)
    ]

    def __init__(self, keymap: Mapping[str, str], read_only: bool) -> None:
        super().__init__("Keys", lambda width: help_rows(width, keymap, read_only))
        self._keymap, self._read_only = keymap, read_only

    def found(self, width: int, words: Sequence[str]) -> list[Row]:
        """Return the actions that are about all words, under the headings of their sections."""
        return help_rows(width, self._keymap, self._read_only, words)
