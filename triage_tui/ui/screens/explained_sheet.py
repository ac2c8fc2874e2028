"""The sheet that says why this and not that; Enter goes to the fact of a line, or to the line of a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from triage_tui.diagnosis.knowledge_base.explained_lines import Line
from triage_tui.text import safe_line
from triage_tui.ui.explained_rows import STEP, explained_rows
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.widgets.field import Field
from triage_tui.ui.widgets.line_view import LineView


class ExplainedSheet(Sheet):
    """Each entry that came near: what of it held, and how its confidence came about."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_link(1)", "next evidence", show=False),
        Binding("shift+tab", "next_link(-1)", "evidence before", show=False),
        Binding("backspace", "go_back", "line before", show=False),
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
        self._trail: list[int] = []
        """Numbers of the lines in which numbers were followed: rows are others at another width."""

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
        view = self.query_one(LineView)
        if event.link.startswith(STEP):
            self._to_line(view, int(event.link.removeprefix(STEP)))
            return
        place = view.cursor
        self.dismiss(None)
        self._follow(event.link, place)

    def _to_line(self, view: LineView, number: int) -> None:
        """Go to the line that others name by a number."""
        row = self._row_of(number)
        if row is None:
            why = (
                "what is to be found hides it"
                if self.query_one("#help-find", Field).value
                else "it is not here"
            )
            self.app.notify(f"There is no line {number}: {why}.", markup=False, timeout=6)
            return
        above = (view.rows.row(index).target for index in range(view.cursor, -1, -1))
        self._trail.append(next((target for target in above if target is not None), number))
        view.mark(row)

    def _row_of(self, number: int) -> int | None:
        return self.query_one(LineView).rows.find(lambda row: row.target == number)

    def action_go_back(self) -> None:
        """Come back to the line in which a number was followed."""
        view = self.query_one(LineView)
        while self._trail:
            if (row := self._row_of(self._trail.pop())) is not None:
                view.mark(row)
                return
