"""The list of runs: waiting ones on top, newest first, a word and a colour for the state of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType

from triage_tui.runs.stories import ORDERS, Entry
from triage_tui.ui.actions import bindings
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import MadeRows, Row
from triage_tui.ui.run_list import RunList
from triage_tui.ui.run_rows import SCORED, run_row

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary


class RunsPane(Pane):
    """All runs of the workspace, folded by story."""

    NAME: ClassVar[str] = "runs"
    EMPTY: ClassVar[str] = "No runs yet. Start one: triage-tui run PROGRAM"
    SEARCH: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")

    def __init__(self, runs: RunList, empty: str = EMPTY) -> None:
        super().__init__()
        self.list = runs
        self._empty = empty
        """What is said where there are no runs at all."""
        self._listed = False
        self._range: tuple[str, set[str]] | None = None
        """The run at which a range begins, and what was marked before."""
        self._last: str | None = None
        """The run that was under the cursor last, also while the filter hides all runs."""
        self._began: str | None = None
        """The run on which the cursor was when somebody began to type a filter."""
        self._put: str | None = None
        """The run on which the filter that is typed put it since."""

    @property
    def title_note(self) -> str:
        """How many runs, their order, how many are marked, and the filter."""
        runs = self.list
        if not runs:
            return ""
        count = f"{len(runs.matching)} of {len(runs)}" if runs.filter else str(len(runs))
        marked = f", {len(runs.marked)} marked" if runs.marked else ""
        order = f" by {runs.order}" if runs.order != "newest" else ""
        return f"{count}{order}{marked}" + (f"  /{runs.filter}" if runs.filter else "")

    @property
    def waiting(self) -> int:
        """How many frozen guests wait for a decision."""
        return len(self.list.waiting)

    @property
    def filter_text(self) -> str:
        """The filter in force."""
        return self.list.filter

    @property
    def entry(self) -> Entry | None:
        """The row under the cursor."""
        entries = self.list.entries
        return entries[self.cursor] if 0 <= self.cursor < len(entries) else None

    @property
    def selected(self) -> RunSummary | None:
        """The run under the cursor."""
        return entry.run if (entry := self.entry) is not None else None

    @property
    def opens(self) -> bool:
        """A run can be opened, also one that cannot be read: then it is said why."""
        return self.selected is not None

    @property
    def order(self) -> str:
        """The order in force."""
        return self.list.order

    @property
    def marked_runs(self) -> list[RunSummary]:
        """The marked runs, in the order of the list."""
        return [run for run in self.list.runs if run.run_id in self.list.marked]

    def set_runs(self, runs: Iterable[RunSummary]) -> None:
        """Show other runs; the cursor stays on its run."""
        before = self.selected
        self.list.set_runs(runs)
        self._listed = True
        self._show(before)

    def update(self, changes: Mapping[str, RunSummary | None]) -> None:
        """Show changed runs; the cursor stays on its run."""
        before = self.selected
        self.list.update(changes)
        self._show(before)

    def set_filter(self, text: str) -> None:
        """Show only the runs that pass the filter."""
        before = self.selected
        self.list.filter = text
        self._show(before)

    def begin_filter(self) -> None:
        """Remember the run under the cursor: a filter is typed now."""
        self._began = self._put = run.run_id if (run := self.selected) is not None else self._last

    def type_filter(self, text: str) -> None:
        """Show the runs that pass a filter as far as it is typed.

        The cursor is on the run where it was when that began, on the first run while the filter hides that:
        what words match that are not yet whole does not move it on.
        """
        before = self.selected
        if before is not None and before.run_id != self._put:
            # Somebody moved it meanwhile.
            self._began = before.run_id
        self.list.filter = text
        self._show(before, self._began, first=True)
        self._put = run.run_id if (run := self.selected) is not None else self._put

    def set_order(self, order: str) -> None:
        """Choose an order for the runs that are set next; an unknown one is passed over."""
        self.list.set_order(order)

    def sort(self) -> None:
        """Show the runs in the next order; the cursor stays on its run."""
        before = self.selected
        names = list(ORDERS)
        self.list.set_order(names[(names.index(self.order) + 1) % len(names)])
        self._show(before)

    def toggle_story(self) -> bool:
        """Show all runs of the story under the cursor, or one; False when there is only one."""
        entry = self.entry
        if entry is None or entry.size < 2:
            return False
        self._draw(entry.run, self.list.toggle_story(entry.run.run_id))
        return True

    def toggle_mark(self) -> bool:
        """Mark the run or the folded story under the cursor, or not, and go on; False when it cannot be."""
        entry = self.entry
        if entry is None or entry.run.form == "misnamed":
            return False
        self.list.toggle_mark(entry)
        # All rows: of a story that is opened several may change.
        self.refresh()
        self.move_to(self.cursor + 1)
        return True

    @property
    def in_range(self) -> bool:
        """Whether rows are marked as the cursor passes them."""
        return self._range is not None

    def toggle_range(self) -> bool:
        """Begin to mark from the row under the cursor on, or end that; True when it begins."""
        entry = self.entry
        if self._range is not None or entry is None:
            self._range = None
            return False
        self._range = (entry.run.run_id, set(self.list.marked))
        self._mark_range()
        return True

    def watch_cursor(self, before: int, after: int) -> None:
        """Take the rows up to the cursor into the range."""
        super().watch_cursor(before, after)
        self._mark_range()

    def _mark_range(self) -> None:
        if self._range is None:
            return
        anchor, marked = self._range
        place = self.list.place(anchor)
        if place is None:
            self._range = None
            return
        first, last = sorted((place, self.cursor))
        self.list.marked = marked | self.list.runs_between(first, last)
        self.refresh()
        self.post_message(self.Retitled())

    def mark_all(self) -> bool:
        """Mark all runs that pass the filter, or none; True when they are marked now."""
        marked = self.list.mark_all()
        self.refresh()
        return marked

    def set_marks(self, run_ids: Iterable[str]) -> None:
        """Mark exactly these runs."""
        self.list.marked = {run_id for run_id in run_ids if run_id in self.list}
        self.refresh()

    def _show(self, before: RunSummary | None, at: str | None = None, first: bool = False) -> None:
        """Build the rows anew, the cursor on the run `at`; by default on the one where it was.

        Where that is not shown the cursor stays in its row, or goes to the `first`.
        """
        at = self._last = at or (before.run_id if before is not None else None) or self._last
        self.list.arrange(keep=at)
        self._draw(before, at, first)

    def _draw(self, before: RunSummary | None, at: str | None, first: bool = False) -> None:
        runs = self.list
        empty = (
            "No run matches the filter." if runs.filter else self._empty if self._listed else "Reading runs…"
        )
        self.set_rows(MadeRows(len(runs.entries), self._row), empty=empty)
        place = runs.place(at)
        self.move_to(place if place is not None else 0 if at is None or first else self.cursor)
        if self.selected is not None and (before is None or self.selected.run_id != before.run_id):
            # The index may be the same while the run is another one.
            self.post_message(self.Moved(self, self.cursor))

    def _row(self, index: int, width: int) -> Row:
        entry = self.list.entries[index]
        score = self.list.score(entry) if width >= SCORED or self.order == "score" else None
        return run_row(entry, width, self.list.marked_of(entry), score)

    def select(self, run_id: str) -> bool:
        """Put the cursor on a run, opening its story; False when the list does not show it."""
        place = self.list.place(run_id)
        if place is None:
            if run_id not in self.list:
                return False
            self._show(self.selected, run_id)
            return self.selected is not None and self.selected.run_id == run_id
        self.move_to(place)
        return True
