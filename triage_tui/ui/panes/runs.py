"""The list of runs: waiting ones on top, newest first, a word and a colour for the state of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len

from triage_tui.text import safe_line
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import MadeRows, Part, Row, clip, fit
from triage_tui.ui.runs_filter import compile_filter, ordered
from triage_tui.ui.words import BROKEN, state_word

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary

_STATE = 13


def when(run_id: str, long: bool) -> str:
    """Return "14:03" or "11-20 14:03:22" from the time in a run id."""
    clock = f"{run_id[9:11]}:{run_id[11:13]}"
    return f"{run_id[4:6]}-{run_id[6:8]} {clock}:{run_id[13:15]}" if long else clock


def run_row(run: RunSummary, width: int) -> Row:
    """Return one run as a row; columns appear as the width allows."""
    broken = run.problem is not None and not run.program
    word, role = BROKEN if broken else state_word(run.state, run.waiting)
    if broken and run.problem and "still being written" in run.problem:
        word, role = "writing", "muted"
    mark: Part = ("▶ ", "wait") if run.waiting else ("! ", "bad") if run.problem else ("  ", "")
    name = safe_line(run.run_id if broken else run.name, 120)
    child = "↳ " if run.parent_run else ""
    if width < 50:
        room = max(6, width - 2 - 6 - _STATE - 1)
        title = clip(child + name, room)
        arguments = "" if broken else safe_line(" ".join(run.argv[1:]), 200)
        parts: tuple[Part, ...] = (
            mark,
            (when(run.run_id, long=False) + " ", "faint"),
            (title, "strong" if run.waiting else ""),
            (fit(" " + arguments, room - cell_len(title)), "muted"),
            (" ", ""),
            (fit(word, _STATE), role),
        )
        return Row(parts, run, "wait-row" if run.waiting else "")
    return _wide_row(run, width, (mark, (name, "strong"), (word, role)), broken)


def _wide_row(run: RunSummary, width: int, given: tuple[Part, Part, Part], broken: bool) -> Row:
    mark, (name, _), state = given
    wide = width >= 100
    time = ((when(run.run_id, wide) + "  ", "faint"),)
    end = (" " + fit(state[0], _STATE), state[1])
    room = max(10, width - 2 - len(time[0][0]) - 10 - (11 if wide else 0) - 19 - 5 - len(end[0]))
    child = "↳ " if run.parent_run else ""
    if broken:
        space = max(0, width - 2 - len(time[0][0]) - 23 - len(end[0]))
        why = fit(safe_line(run.problem or "", 300), space)
        return Row((mark, *time, (fit(name, 21) + "  ", "strong"), (why, "muted"), end), run)
    title = clip(child + name, room)
    arguments = safe_line(" ".join(run.argv[1:]), 200)
    columns: list[Part] = [mark, *time, (title, "strong")]
    columns.append((fit(" " + arguments, room - cell_len(title)), "muted"))
    columns.append((" " + fit(safe_line(run.arch), 8) + " ", "info"))
    if wide:
        columns.append((fit(safe_line(run.reason), 10) + " ", "muted"))
    cause = safe_line(run.cause)
    sure = f"{min(1.0, max(0.0, run.confidence)):.2f}" if cause else ""
    columns += [(fit(cause or "-", 18) + " ", "" if cause else "faint"), (fit(sure, 5), "faint"), end]
    return Row(tuple(columns), run, "wait-row" if run.waiting else "")


class RunsPane(Pane):
    """All runs of the workspace."""

    NAME: ClassVar[str] = "runs"
    EMPTY: ClassVar[str] = "No runs yet. Start one: triage-tui run PROGRAM"

    def __init__(self) -> None:
        super().__init__()
        self._all: list[RunSummary] = []
        self._shown: list[RunSummary] = []
        self._filter = ""
        self._listed = False
        self._last: str | None = None
        """The run that was under the cursor last, also while the filter hides all runs."""

    @property
    def title_note(self) -> str:
        """How many runs, and the filter."""
        if not self._filter:
            return str(len(self._all)) if self._all else ""
        return f"{len(self._shown)} of {len(self._all)}  /{self._filter}"

    @property
    def waiting(self) -> int:
        """How many frozen guests wait for a decision."""
        return sum(run.waiting for run in self._all)

    @property
    def filter_text(self) -> str:
        """The filter in force."""
        return self._filter

    @property
    def selected(self) -> RunSummary | None:
        """The run under the cursor."""
        return self._shown[self.cursor] if 0 <= self.cursor < len(self._shown) else None

    def set_runs(self, runs: list[RunSummary]) -> None:
        """Show other runs; the cursor stays on its run."""
        self._all = ordered(runs)
        self._listed = True
        self._restrict()

    def set_filter(self, text: str) -> None:
        """Show only the runs that pass the filter."""
        self._filter = text
        self._restrict()

    def _restrict(self) -> None:
        if self.selected is not None:
            self._last = self.selected.run_id
        at = self._last
        test = compile_filter(self._filter) if self._filter else None
        self._shown = [run for run in self._all if test(run)] if test else self._all
        place = next((n for n, run in enumerate(self._shown) if run.run_id == at), None)
        shown = self._shown
        empty = (
            "No run matches the filter." if self._filter else self.EMPTY if self._listed else "Reading runs…"
        )
        self.set_rows(MadeRows(len(shown), lambda index, width: run_row(shown[index], width)), empty=empty)
        self.move_to(place if place is not None else 0 if at is None else self.cursor)
        if self.selected is not None and self.selected.run_id != at:
            # The index may be the same while the run is another one.
            self.post_message(self.Moved(self, self.cursor))

    def select(self, run_id: str) -> bool:
        """Put the cursor on a run; False when the list does not show it."""
        place = next((n for n, run in enumerate(self._shown) if run.run_id == run_id), None)
        if place is None:
            return False
        self.move_to(place)
        return True
