"""Find what is new in a directory of runs: new runs, and new lines of their event logs.

What was there when the following began is not told; only how it stands is known of it. A look costs one stat
of each run that is followed, and reads what has changed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from triage_tui.runs.events import (
    EVENTS_FILE,
    Event,
    derive_state,
    holder_alive,
    is_waiting,
    read_events,
    supervisor_of,
    this_process,
)
from triage_tui.runs.ids import is_run_id

MAX_RUNS = 200_000
"""Runs that are followed; of more, those that came first."""

Belongs = Callable[[list[Event]], bool]
"""Whether a run with these events is one whose figures are wanted."""


def any_run(_events: list[Event]) -> bool:
    """All runs of the directory."""
    return True


def of_this_process(events: list[Event]) -> bool:
    """Only runs that this process captured."""
    process = this_process()
    return supervisor_of(events) == (process["pid"], process["start"])


def of_campaign(campaign: str) -> Belongs:
    """Only runs that say that they are of this campaign."""

    def belongs(events: list[Event]) -> bool:
        named = (event.payload for event in events if event.kind == "campaign")
        return any(campaign in (payload.get("campaign"), payload.get("id")) for payload in named)

    return belongs


class Followed(msgspec.Struct):
    """What is known of one run."""

    dir: Path
    stamp: tuple[int, int] = (-2, 0)
    """Size and time of change of its event log when it was looked at."""
    told: int = -1
    """Events that are counted, or were there before; -1: it was not looked at yet."""
    wanted: bool | None = None
    """Whether it belongs to what is followed; None: its events do not say yet."""
    state: str = ""
    """"" for one that was not looked at yet."""
    waits: bool = False


class News(msgspec.Struct):
    """New events of one run, of all its events."""

    run: Followed
    events: list[Event]
    new: list[Event]
    problems: list[str]


class Follower:
    """Follows the runs of a directory; not to be used by two threads at a time.

    `belongs` chooses runs. Of all runs, those that were there before are followed, too: only events from now
    on are told, which also holds of a run that is imported. Of a choice, only new runs are followed.
    """

    def __init__(self, runs_dir: Path, belongs: Belongs = any_run) -> None:
        self._runs_dir = runs_dir
        self._belongs = belongs
        self._all = belongs is any_run
        self._began = time.time()
        self._passed_over = set() if self._all else set(self._names())
        self.runs: dict[str, Followed] = {}

    def look(self, budget_s: float) -> Iterator[News]:
        """Yield what is new, for so long at most; what is left is told by the next look."""
        until = time.monotonic() + budget_s
        there = self._names()
        for gone in self.runs.keys() - set(there):
            del self.runs[gone]
        for name in there:
            if name not in self.runs and name not in self._passed_over and len(self.runs) < MAX_RUNS:
                self.runs[name] = Followed(self._runs_dir / name, wanted=True if self._all else None)
        # The newest first: how old ones stand may wait.
        for name in reversed(self.runs):
            news = self._look_at(self.runs[name])
            if news is not None:
                yield news
            if time.monotonic() > until:
                return

    def _names(self) -> list[str]:
        try:
            return sorted(filter(is_run_id, os.listdir(self._runs_dir)))
        except OSError:
            return []

    def _look_at(self, run: Followed) -> News | None:
        if run.wanted is False:
            return None
        stamp = _stamp(run.dir)
        if stamp == run.stamp:
            return None
        run.stamp = stamp
        events, problems = read_events(run.dir) if stamp[0] >= 0 else ([], [])
        if run.wanted is None:
            run.wanted = self._wants(events)
        if not run.wanted:
            return None
        run.state, run.waits = derive_state(events), is_waiting(events)
        if run.told < 0:
            run.told = self._old(events)
        # A log that became shorter begins no second time.
        new = events[run.told :]
        run.told = max(run.told, len(events))
        # A log of which nothing can be read is news, too.
        damaged = bool(problems) and stamp[1] >= self._began * 1e9
        return News(run, events, new, problems) if new or damaged else None

    def _wants(self, events: list[Event]) -> bool | None:
        if self._belongs(events):
            return True
        # It may still say where it belongs.
        return False if any(event.kind == "diagnosed" for event in events) else None

    def _old(self, events: list[Event]) -> int:
        """Return how many of the events happened before the following began."""
        if not self._all:
            return 0
        return next((n for n, event in enumerate(events) if moment_of(event) >= self._began), len(events))

    def states(self) -> dict[str, int]:
        """Return how many of the runs stand where."""
        found: dict[str, int] = {}
        for run in self.runs.values():
            if run.wanted and run.state:
                found[run.state] = found.get(run.state, 0) + 1
        return found

    def unread(self) -> int:
        """Return how many runs were not looked at yet."""
        return sum(run.wanted is True and not run.state for run in self.runs.values())

    def waiting(self) -> int:
        """Return how many frozen guests wait for a decision, with a holder that lives."""
        waiting = [run for run in self.runs.values() if run.wanted and run.waits]
        return sum(holder_alive(read_events(run.dir)[0]) for run in waiting)


def moment_of(event: Event) -> float:
    """Return when an event happened, in seconds since 1970; 0 where it does not say."""
    try:
        return datetime.fromisoformat(event.wall).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _stamp(run_dir: Path) -> tuple[int, int]:
    with contextlib.suppress(OSError):
        found = os.stat(run_dir / EVENTS_FILE, follow_symlinks=False)
        return found.st_size, found.st_mtime_ns
    return -1, 0
