"""The runs as the list shows them: order, filter, folded stories and marks, without a screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from triage_tui.runs.stories import ORDERS, Entry, Story, fold, group, ordered, scores, story_of

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary
    from triage_tui.ui.run_rows import Marked


class RunList:
    """All runs of a workspace, and which of them are shown in which rows."""

    def __init__(self) -> None:
        self._known: dict[str, RunSummary] = {}
        self._sorted: list[RunSummary] = []
        self._matching: list[RunSummary] = []
        self._stories: dict[str, Story] = {}
        self._haystacks: dict[str, str] = {}
        self._members: dict[Story, list[RunSummary]] = {}
        """The runs of each story that pass the filter."""
        self._scores: dict[Story, int] | None = None
        self._opened: set[Story] = set()
        self._waiting: set[str] = set()
        self._live: set[str] = set()
        self._places: dict[str, int] | None = None
        self._values: dict[str, list[str]] = {}
        self.marked: set[str] = set()
        """Ids of the marked runs, whether the filter shows them or not."""
        self.order = "newest"
        self.filter = ""
        self.entries: list[Entry] = []
        """The rows."""

    # --- what there is -----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._known

    def get(self, run_id: str) -> RunSummary | None:
        """Return a run by its id."""
        return self._known.get(run_id)

    @property
    def runs(self) -> Sequence[RunSummary]:
        """All runs in the order of the list."""
        return self._sorted

    @property
    def matching(self) -> Sequence[RunSummary]:
        """The runs that pass the filter, in the order of the list."""
        return self._matching

    @property
    def waiting(self) -> set[str]:
        """Ids of runs whose frozen guest waits."""
        return self._waiting

    @property
    def live(self) -> set[str]:
        """Ids of runs that a process may leave without a change of any file: they wait, or are retried."""
        return self._live

    def values(self, key: str) -> list[str]:
        """Return the values that runs have for the key of a filter term, the most frequent first."""
        if key not in self._values:
            from triage_tui.ui.runs_filter import values_of

            self._values[key] = values_of(key, self._sorted)
        return self._values[key]

    def set_runs(self, runs: Iterable[RunSummary]) -> None:
        """Take all runs; those that are not among them are gone."""
        self._known = {run.run_id: run for run in runs}
        self._stories = {run.run_id: story_of(run) for run in self._known.values()}
        self._haystacks = {}
        self._settle()

    def update(self, changes: Mapping[str, RunSummary | None]) -> None:
        """Take changed runs; None stands for one that is gone."""
        for run_id, run in changes.items():
            self._haystacks.pop(run_id, None)
            if run is None:
                self._known.pop(run_id, None)
                self._stories.pop(run_id, None)
            else:
                self._known[run_id] = run
                self._stories[run_id] = story_of(run)
        self._settle()

    def _settle(self) -> None:
        self._values = {}
        self.marked &= self._known.keys()
        self._waiting = {run_id for run_id, run in self._known.items() if run.waiting}
        self._live = self._waiting | {
            run_id for run_id, run in self._known.items() if run.state == "retrying"
        }
        self._sorted = ordered(list(self._known.values()), self.order)

    def set_order(self, order: str) -> None:
        """Choose an order; an unknown one is passed over."""
        if order in ORDERS:
            self.order = order
            self._sorted = ordered(self._sorted, order)

    # --- what is shown -----------------------------------------------------------------------------------

    def arrange(self, keep: str | None = None) -> None:
        """Make the rows anew; the story of the run `keep` opens rather than to hide it."""
        self._matching = self._select()
        self._fold()
        if keep is not None and self.place(keep) is None:
            hidden = self._known.get(keep)
            if hidden is not None and any(run is hidden for run in self._matching):
                self._opened.add(self._stories[keep])
                self._fold()

    def _select(self) -> list[RunSummary]:
        if not self.filter.strip():
            return self._sorted
        from triage_tui.ui.runs_filter import haystack, select

        if len(self._haystacks) != len(self._known):
            for run_id, run in self._known.items():
                if run_id not in self._haystacks:
                    self._haystacks[run_id] = haystack(run)
        return select(self._sorted, self.filter, self._haystacks)

    def _fold(self) -> None:
        stories = self._stories
        self._members = group(self._matching, lambda run: stories[run.run_id])
        self.entries = fold(self._members, self._opened)
        self._places = None
        self._scores = None

    def place(self, run_id: str | None) -> int | None:
        """Return the row of a run, None when it is not shown."""
        if self._places is None:
            self._places = {entry.run.run_id: number for number, entry in enumerate(self.entries)}
        return self._places.get(run_id) if run_id is not None else None

    def toggle_story(self, run_id: str) -> str:
        """Open the story of a run, or fold it; returns the run that the cursor should be on then."""
        story = self._stories[run_id]
        if story not in self._opened:
            self._opened.add(story)
            self._fold()
            return run_id
        self._opened.discard(story)
        self._fold()
        return self._members[story][0].run_id

    def score(self, entry: Entry) -> int:
        """Return the score of the story of a row, among those that pass the filter."""
        if self._scores is None:
            self._scores = scores(self._members)
        return self._scores[self._stories[entry.run.run_id]]

    # --- marks -------------------------------------------------------------------------------------------

    def story_runs(self, entry: Entry) -> list[str]:
        """Return the ids of the runs that a row stands for: its own and those folded into it."""
        if not entry.folded:
            return [entry.run.run_id]
        # Those that wait have rows of their own.
        first, *others = self._members[self._stories[entry.run.run_id]]
        return [first.run_id, *(run.run_id for run in others if not run.waiting)]

    def toggle_mark(self, entry: Entry) -> None:
        """Mark what a row stands for; when all of it is marked, take the marks away."""
        runs = set(self.story_runs(entry))
        self.marked = self.marked - runs if runs <= self.marked else self.marked | runs

    def runs_between(self, first: int, last: int) -> set[str]:
        """Return the ids of the runs that the rows from `first` to `last` stand for."""
        rows = [entry for entry in self.entries[first : last + 1] if entry.run.form != "misnamed"]
        return {run_id for entry in rows for run_id in self.story_runs(entry)}

    def mark_all(self) -> bool:
        """Mark all runs that pass the filter, or drop all marks when they have them; True when marked."""
        runs = {run.run_id for run in self._matching if run.form != "misnamed"}
        if runs <= self.marked:
            self.marked = set()
            return False
        self.marked |= runs
        return True

    def marked_of(self, entry: Entry) -> Marked:
        """Tell how many of the runs that a row stands for are marked."""
        if not self.marked:
            return ""
        if not entry.folded:
            return "all" if entry.run.run_id in self.marked else ""
        runs = self.story_runs(entry)
        count = sum(run_id in self.marked for run_id in runs)
        return "all" if count == len(runs) else "some" if count else ""
