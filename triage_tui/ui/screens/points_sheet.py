"""The suspicious points of a run: who noted what, on what evidence, and what a person makes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from triage_tui.ui.point_rows import STATE_WORDS, point_rows
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.widgets.line_view import LineView

if TYPE_CHECKING:
    from triage_tui.runs.suspicious_points import SuspiciousPoint

_READ = "⏎ go there   / find   y copy   esc leave"
_WRITE = "a add  c confirm  x dismiss  o open again  e change  ⏎ go there  esc"


class PointsSheet(Sheet):
    """All points; the keys are about the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "add", show=False),
        Binding("c", "judge('confirmed')", "confirm", show=False),
        Binding("x", "judge('refuted')", "dismiss", show=False),
        Binding("o", "judge('open')", "open again", show=False),
        Binding("e", "change", "change", show=False),
    ]

    def __init__(
        self,
        points: list[SuspiciousPoint],
        trouble: str,
        follow: Callable[[str, int], None],
        write: Callable[[str, dict[str, str]], None] | None,
        cursor: int = 0,
    ) -> None:
        """`write` opens or carries out a tool that writes: its name and fields; None where nothing may be."""
        super().__init__("Suspicious points", partial(point_rows, points, trouble), wide=True)
        self._points = {point.id: point for point in points}
        self._follow, self._write, self._first = follow, write, cursor

    def on_mount(self) -> None:
        """Say what can be done, and go to where somebody was."""
        view = self.query_one(LineView)
        frame = self.query_one("#help", Vertical)
        frame.border_subtitle = Content(_READ if self._write is None else _WRITE)
        if not self._points:
            add = "" if self._write is None else " Press a to note one."
            view._empty = f"Nobody noted a suspicious point in this run.{add}"
        self.call_after_refresh(view.move_to, self._first)

    @property
    def _chosen(self) -> SuspiciousPoint | None:
        row = self.query_one(LineView).current
        return self._points.get(row.target) if row is not None else None

    def opened(self, event: LineView.Opened) -> None:
        """Go to the evidence of the line."""
        if event.link is None:
            self.app.notify("This line leads to no place in the run.", markup=False, timeout=6)
            return
        place = self.query_one(LineView).cursor
        self.dismiss(None)
        self._follow(event.link, place)

    def action_add(self) -> None:
        """Note a point."""
        if self._write is not None:
            self.dismiss(None)
            self._write("create_suspicious_point", {})

    def action_change(self) -> None:
        """Change what the point says."""
        if self._write is not None and (point := self._chosen) is not None:
            self.dismiss(None)
            self._write("update_suspicious_point", {"suspicious_point_id": point.id})

    def action_judge(self, state: str) -> None:
        """Confirm the point, dismiss it, or leave it open again."""
        if self._write is None or (point := self._chosen) is None:
            return
        if point.state == state:
            self.app.notify(f"{point.id} is {STATE_WORDS[point.state]} already.", markup=False, timeout=4)
            return
        seen = {"suspicious_point_id": point.id, "state": state, "expect_revision": str(point.revision)}
        self.dismiss(None)
        self._write("update_suspicious_point", seen)
