"""The comparison of two runs as a sheet over the main screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from triage_tui.ui.comparison.compare import Comparison
from triage_tui.ui.comparison.rows import Spot, comparison_rows, differences, rows_with
from triage_tui.ui.rows import ListRows, Row
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.widgets.line_view import LineView

NO_PLACE = "This line leads to no place in either run."


class Place(NamedTuple):
    """Where somebody was in a comparison, to come back to."""

    cursor: int = 0
    top: int = 0
    unfolded: frozenset[Spot] = frozenset()


class ComparisonList(LineView):
    """Lines that lead somewhere from one end to the other: a click moves there, a double click follows."""

    def on_click(self, event: events.Click) -> None:
        """Leave a single click on a link to be one on its row."""
        offset = event.get_content_offset(self)
        if offset is not None and event.chain == 1 and not self._dragged:
            event.prevent_default()
            self.move_to(min(offset.y + self.scroll_offset.y, len(self.rows) - 1))


class ComparisonSheet(Sheet):
    """What differs between two runs; Enter goes to the place in the run that a line is about."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "step(1)", "next difference", show=False),
        Binding("N", "step(-1)", "difference before", show=False),
        Binding("tab", "step_section(1)", "next part", show=False),
        Binding("shift+tab", "step_section(-1)", "part before", show=False),
        Binding("c", "dismiss(None)", "leave", show=False),
    ]

    LIST: ClassVar[type[LineView]] = ComparisonList

    def __init__(
        self, found: Comparison, follow: Callable[[str, str, Place], None], place: Place | None = None
    ) -> None:
        """`follow` is called with a run, a link into it, and the place to come back to."""
        one, other = found.sides
        super().__init__(f"Two runs compared: {one.brief} and {other.brief}", self._made, wide=True)
        self._found = found
        self._follow = follow
        self._place = place or Place()
        self._unfolded = set(self._place.unfolded)
        self._known: tuple[object, int, list[int]] = (None, 0, [])

    def _made(self, width: int) -> list[Row]:
        return comparison_rows(self._found, width, self._unfolded)

    def found(self, width: int, words: Sequence[str]) -> list[Row]:
        """Return the rows that hold all words, also those that are folded."""
        return rows_with(self._found, width, words) if words else self._made(width)

    @property
    def _list(self) -> LineView:
        return self.query_one(LineView)

    @property
    def _rows(self) -> Sequence[Row]:
        rows = self._list.rows
        return [rows.row(index) for index in range(len(rows))]

    def on_mount(self) -> None:
        """Go to where somebody was, or to the overview."""
        # The list has no size before the next layout.
        self.call_after_refresh(self._return)

    @property
    def _begins(self) -> list[int]:
        """The rows at which a difference begins, found once for the rows that are shown."""
        rows, width = self._list.rows, self._list.size.width
        if self._known[0] is not rows or self._known[1] != width:
            self._known = rows, width, differences(self._rows)
        return self._known[2]

    def _return(self) -> None:
        if self._place.cursor:
            self._list.move_to(self._place.cursor)
            self._list.scroll_to(y=self._place.top, animate=False, immediate=True, force=True)
        else:
            self._list.move_to(self._list.rows.find(lambda row: row.target == Spot("overview", 0)) or 0)
        self._tell()

    def _go_to(self, wanted: Spot) -> None:
        """Go to the heading of a part: its differences follow below it."""
        index = self._list.rows.find(lambda row: row.target == wanted)
        if index is not None:
            self._list.move_to(index)
            self._list.scroll_to(y=index, animate=False, immediate=True, force=True)
        self._tell()

    @on(LineView.Moved)
    def _tell(self) -> None:
        """Say at which difference the cursor is, and what the keys do."""
        begins = self._begins
        at = sum(index <= self._list.cursor for index in begins)
        total = f"{len(begins)} difference{'s' * (len(begins) != 1)}"
        count = f"difference {at} of {len(begins)}" if at else total
        enter = self._enter
        if enter:
            enter = f"⏎ {enter}  "
        keys = f"n N step  tab part  {enter}/ find  esc leave"
        frame = self.query_one("#help", Vertical)
        frame.border_subtitle = f"{count}   {keys}" if begins else f"{enter}/ find  esc leave"

    @property
    def _enter(self) -> str:
        """What Enter does on the row under the cursor, in two words; "" for nothing."""
        row = self._list.current
        if row is None:
            return ""
        what = row.target.what if isinstance(row.target, Spot) else ""
        if what == "overview" and isinstance(row.target, Spot):
            section = self._found.sections[row.target.section]
            return "go there" if section.differ else "show" if section.pairs else ""
        return "go there" if row.links else "show" if what in ("fold", "more") else ""

    def action_step(self, step: int) -> None:
        """Go to the next difference (1) or the one before (-1)."""
        begins = self._begins
        cursor = self._list.cursor
        left = [index for index in begins if (index - cursor) * step > 0]
        if left:
            self._list.move_to(left[0] if step > 0 else left[-1], centre=True)

    def action_step_section(self, step: int) -> None:
        """Go to the next part that differs (1) or the one before (-1), from the last to the overview."""
        cursor = self._list.cursor
        targets = [row.target for row in self._rows]
        begins = [n for n, one in enumerate(targets) if isinstance(one, Spot) and one.what == "section"]
        left = [index for index in [0, *begins] if (index - cursor) * step > 0]
        index = (left[0] if step > 0 else left[-1]) if left else 0
        self._list.move_to(index)
        self._list.scroll_to(y=index, animate=False, immediate=True, force=True)

    def opened(self, event: LineView.Opened) -> None:
        """Go to what a line is about, to a part from the overview, or show what is folded."""
        spot = self._rows[event.index].target
        if event.link is not None:
            run_id, _, link = event.link.partition(" ")
            place = Place(self._list.cursor, int(self._list.scroll_offset.y), frozenset(self._unfolded))
            self.dismiss(None)
            self._follow(run_id, link, place)
        elif isinstance(spot, Spot) and spot.what in ("fold", "more"):
            self._unfold(spot)
        elif isinstance(spot, Spot) and spot.what == "overview":
            section = self._found.sections[spot.section]
            if section.pairs and not section.differ:
                self._unfold(spot)
            self._go_to(Spot("section", spot.section))
        else:
            heading = isinstance(spot, Spot) and spot.what == "section"
            what = "This is the heading of a part: what differs stands below it." if heading else NO_PLACE
            self.app.notify(what, markup=False, timeout=6)

    def _unfold(self, spot: Spot) -> None:
        """Show what a row stands for, or an equal part that was shown no more."""
        self._unfolded ^= {spot}
        self._list.set_rows(ListRows(self._made))
        self._tell()
