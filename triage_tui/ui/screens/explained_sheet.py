"""The sheet that says why this and not that; Enter goes to the fact of a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from triage_tui.diagnosis.knowledge_base.explained_lines import Line
from triage_tui.text import safe_line
from triage_tui.ui.explained_rows import explained_rows
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.widgets.line_view import LineView


class ExplainedSheet(Sheet):
    """Each entry that came near: what of it held, and how its confidence came about."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_link(1)", "next evidence", show=False),
        Binding("shift+tab", "next_link(-1)", "evidence before", show=False),
    ]

    def __init__(
        self,
        lines: Sequence[Line],
        follow: Callable[[str, int], None],
        cursor: int = 0,
        title: str = "Why this and not that",
    ) -> None:
        """`follow` is called with the link of a line, and the row to come back to. `title` may be raw."""
        super().__init__(safe_line(title, 60), partial(explained_rows, lines), wide=True)
        self._follow = follow
        self._cursor = cursor

    def on_mount(self) -> None:
        """Go to where somebody was, and say what can be done."""
        keys = "⏎ go there   tab next   / find   esc leave"
        self.query_one("#help", Vertical).border_subtitle = Content(keys)
        # The list has no size before the next layout.
        self.call_after_refresh(self.query_one(LineView).move_to, self._cursor)

    def action_next_link(self, step: int) -> None:
        """Go to the next row, or the one before, that leads somewhere; behind the last comes the first."""
        view = self.query_one(LineView)
        here, rows = view.cursor, view.rows
        others = [index for index in range(len(rows)) if rows.row(index).links]
        if step < 0:
            others.reverse()
        after = (index for index in others if (index - here) * step > 0)
        if others:
            view.move_to(next(after, others[0]))

    def opened(self, event: LineView.Opened) -> None:
        """Go to the fact of the line; any other line leads nowhere."""
        if event.link is None:
            self.app.notify("This line leads to no place in the run.", markup=False, timeout=6)
            return
        place = self.query_one(LineView).cursor
        self.dismiss(None)
        self._follow(event.link, place)
