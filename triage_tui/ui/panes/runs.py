"""The list of runs: waiting ones on top, newest first, a word and a colour for the state of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual.binding import BindingType

from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import MadeRows, Part, Row, clip, fit
from triage_tui.ui.runs_filter import compile_filter
from triage_tui.ui.stories import ORDERS, Entry, Story, fold, ordered, story_of
from triage_tui.ui.words import BROKEN, state_word, when

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary

_STATE = 13


def _lead(entry: Entry) -> tuple[str, str]:
    """Return what stands before the name of a run, and behind it: its place in its story."""
    child = "↳ " if entry.run.parent_run else ""
    if entry.inside:
        return f"│ {child}", ""
    count = f" \N{MULTIPLICATION SIGN}{entry.folded + 1}" if entry.folded else ""
    return child, count or (" ▾" if entry.size > 1 else "")


def run_row(entry: Entry, width: int) -> Row:
    """Return one run as a row; columns appear as the width allows."""
    run = entry.run
    broken = run.problem is not None and not run.program
    word, role = BROKEN if broken else state_word(run.state, run.waiting)
    if broken and run.problem and "still being written" in run.problem:
        word, role = "writing", "muted"
    mark: Part = ("▶ ", "wait") if run.waiting else ("! ", "bad") if run.problem else ("  ", "")
    name = safe_line(run.run_id if broken else run.name, 120)
    before, behind = _lead(entry)
    if width < 68:
        room = max(6, width - 2 - 6 - _STATE - 1 - len(behind))
        title = clip(before + name, room)
        arguments = "" if broken else safe_line(" ".join(run.argv[1:]), 200)
        parts: tuple[Part, ...] = (
            mark,
            (when(run.run_id, long=False) + " ", "faint"),
            (title, "strong" if run.waiting else ""),
            (behind, "accent"),
            (fit(" " + arguments, room - cell_len(title)), "muted"),
            (" ", ""),
            (fit(word, _STATE), role),
        )
        return Row(parts, run, "wait-row" if run.waiting else "")
    return _wide_row(entry, width, (mark, (name, "strong"), (word, role)), broken)


def _wide_row(entry: Entry, width: int, given: tuple[Part, Part, Part], broken: bool) -> Row:
    run = entry.run
    mark, (name, _), state = given
    wide = width >= 100
    time = ((when(run.run_id, wide) + "  ", "faint"),)
    end = (" " + fit(state[0], _STATE), state[1])
    room = max(10, width - 2 - len(time[0][0]) - 10 - (11 if wide else 0) - 19 - 5 - len(end[0]))
    before, behind = _lead(entry)
    if broken:
        space = max(0, width - 2 - len(time[0][0]) - 23 - len(end[0]))
        why = fit(safe_line(run.problem or "", 300), space)
        return Row((mark, *time, (fit(name, 21) + "  ", "strong"), (why, "muted"), end), run)
    room -= len(behind)
    title = clip(before + name, room)
    arguments = safe_line(" ".join(run.argv[1:]), 200)
    columns: list[Part] = [mark, *time, (title, "muted" if entry.inside else "strong"), (behind, "accent")]
    columns.append((fit(" " + arguments, room - cell_len(title)), "muted"))
    columns.append((" " + fit(safe_line(run.arch), 8) + " ", "info"))
    if wide:
        columns.append((fit(safe_line(run.reason), 10) + " ", "muted"))
    cause = safe_line(run.cause)
    sure = f"{min(1.0, max(0.0, run.confidence)):.2f}" if cause else ""
    columns += [(fit(cause or "-", 18) + " ", "" if cause else "faint"), (fit(sure, 5), "faint"), end]
    return Row(tuple(columns), run, "wait-row" if run.waiting else "")


class RunsPane(Pane):
    """All runs of the workspace, folded by story."""

    NAME: ClassVar[str] = "runs"
    EMPTY: ClassVar[str] = "No runs yet. Start one: triage-tui run PROGRAM"
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")

    def __init__(self) -> None:
        super().__init__()
        self._all: list[RunSummary] = []
        self._shown: list[Entry] = []
        self._matching = 0
        self._filter = ""
        self._order = "newest"
        self._opened: set[Story] = set()
        self._listed = False
        self._last: str | None = None
        """The run that was under the cursor last, also while the filter hides all runs."""

    @property
    def title_note(self) -> str:
        """How many runs, their order, and the filter."""
        if not self._all:
            return ""
        count = f"{self._matching} of {len(self._all)}" if self._filter else str(len(self._all))
        order = f" by {self._order}" if self._order != "newest" else ""
        return f"{count}{order}" + (f"  /{self._filter}" if self._filter else "")

    @property
    def waiting(self) -> int:
        """How many frozen guests wait for a decision."""
        return sum(run.waiting for run in self._all)

    @property
    def filter_text(self) -> str:
        """The filter in force."""
        return self._filter

    @property
    def entry(self) -> Entry | None:
        """The row under the cursor."""
        return self._shown[self.cursor] if 0 <= self.cursor < len(self._shown) else None

    @property
    def selected(self) -> RunSummary | None:
        """The run under the cursor."""
        return entry.run if (entry := self.entry) is not None else None

    def set_runs(self, runs: list[RunSummary]) -> None:
        """Show other runs; the cursor stays on its run."""
        self._all = ordered(runs, self._order)
        self._listed = True
        self._restrict()

    def set_filter(self, text: str) -> None:
        """Show only the runs that pass the filter."""
        self._filter = text
        self._restrict()

    @property
    def order(self) -> str:
        """The order in force."""
        return self._order

    def set_order(self, order: str) -> None:
        """Choose an order for the runs that are set next; an unknown one is passed over."""
        if order in ORDERS:
            self._order = order

    def sort(self) -> None:
        """Show the runs in the next order; the cursor stays on its run."""
        names = list(ORDERS)
        self._order = names[(names.index(self._order) + 1) % len(names)]
        self._all = ordered(self._all, self._order)
        self._restrict()

    def toggle_story(self) -> bool:
        """Show all runs of the story under the cursor, or one; False when there is only one."""
        entry = self.entry
        if entry is None or entry.size < 2:
            return False
        story = story_of(entry.run)
        if story not in self._opened:
            self._opened.add(story)
            self._restrict()
        else:
            self._opened.discard(story)
            self._restrict(next(one.run.run_id for one in self._shown if story_of(one.run) == story))
        return True

    def _restrict(self, at: str | None = None) -> None:
        """Build the rows anew, the cursor on the run `at`; by default on the one where it is."""
        before = self.selected.run_id if self.selected is not None else None
        at = self._last = at or before or self._last
        test = compile_filter(self._filter) if self._filter else None
        matching = [run for run in self._all if test(run)] if test else self._all
        self._matching = len(matching)
        shown = self._folded(matching, at)
        place = self._place(shown, at)
        self._shown = shown
        empty = (
            "No run matches the filter." if self._filter else self.EMPTY if self._listed else "Reading runs…"
        )
        self.set_rows(MadeRows(len(shown), lambda index, width: run_row(shown[index], width)), empty=empty)
        self.move_to(place if place is not None else 0 if at is None else self.cursor)
        if self.selected is not None and self.selected.run_id != before:
            # The index may be the same while the run is another one.
            self.post_message(self.Moved(self, self.cursor))

    def _folded(self, runs: list[RunSummary], at: str | None) -> list[Entry]:
        """Return the rows for runs. The story of the run `at` opens rather than to hide it."""
        shown = fold(runs, self._opened)
        if at is None or self._place(shown, at) is not None:
            return shown
        hidden = next((run for run in runs if run.run_id == at), None)
        if hidden is None:
            return shown
        self._opened.add(story_of(hidden))
        return fold(runs, self._opened)

    @staticmethod
    def _place(shown: list[Entry], run_id: str | None) -> int | None:
        return next((n for n, entry in enumerate(shown) if entry.run.run_id == run_id), None)

    def select(self, run_id: str) -> bool:
        """Put the cursor on a run, opening its story; False when the list does not show it."""
        place = self._place(self._shown, run_id)
        if place is None:
            hidden = next((run for run in self._all if run.run_id == run_id), None)
            if hidden is None or (self._filter and not compile_filter(self._filter)(hidden)):
                return False
            self._restrict(run_id)
            return self.selected is not None and self.selected.run_id == run_id
        self.move_to(place)
        return True
