"""The rounds of one target as a ladder: the run, those that it retries, and those that retry it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from triage_tui.runs.events import Event, read_events
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.listing import RunSummary, summarize
from triage_tui.runs.reader import Run

MAX_ROUNDS = 64
"""Rounds that are followed in each direction."""


def ladder(run: Run) -> list[RunSummary]:
    """Return the rounds that a run is one of, the first one first; none when it has no other."""
    seen = {run.run_id}
    before = list(_before(run.dir.parent, run.snapshot.parent_run, seen))
    after = list(_after(run.dir.parent, _led_to(run.events), seen))
    # The run itself is read again only where there is something to set it beside.
    return [*reversed(before), summarize(run.dir), *after] if before or after else []


def _before(runs_dir: Path, name: str | None, seen: set[str]) -> Iterator[RunSummary]:
    for _ in range(MAX_ROUNDS):
        found = _round(runs_dir, name, seen)
        if found is None:
            return
        yield found
        name = found.parent_run


def _after(runs_dir: Path, name: str | None, seen: set[str]) -> Iterator[RunSummary]:
    for _ in range(MAX_ROUNDS):
        found = _round(runs_dir, name, seen)
        if found is None:
            return
        yield found
        name = _led_to(read_events(runs_dir / found.run_id)[0])


def _led_to(events: Sequence[Event]) -> str | None:
    last = next((event for event in reversed(events) if event.kind == "retry_finished"), None)
    name = last.payload.get("run") if last is not None else None
    return name if isinstance(name, str) else None


def _round(runs_dir: Path, name: str | None, seen: set[str]) -> RunSummary | None:
    """Return the run called `name`; records are hostile, so none is visited twice."""
    if name is None or not is_run_id(name) or name in seen:
        return None
    path = runs_dir / name
    if path.is_symlink() or not path.is_dir():
        return None
    seen.add(name)
    return summarize(path)
