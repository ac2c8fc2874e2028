"""The rounds of one target as a ladder: the run, those that it retries, and those that retry it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from triage_tui.runs.events import Event, read_events
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.listing import RunSummary, summarize
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line
from triage_tui.ui.rows import Part, Row, fit, heading
from triage_tui.ui.words import state_word, when

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
        name = _led_to(read_events(found.dir)[0])


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


def ladder_rows(rounds: list[RunSummary], here: str, width: int) -> list[Row]:
    """Return a row for each round: how it ended, why, what came of it, figures beside those before."""
    if len(rounds) < 2:
        return []
    rows = [heading("Rounds", width, "enter opens")]
    before: RunSummary | None = None
    for run in rounds:
        word, role = state_word(run.state, run.waiting)
        current = run.run_id == here
        parts: list[Part] = [
            (" ▶ " if current else "   ", "wait"),
            (f"{run.round:>2} ", "strong" if current else "muted"),
            (when(run.run_id, long=False) + " ", "faint"),
            (fit(safe_line(run.reason), 10) + " ", ""),
            (fit(safe_line(run.cause or "-"), 18) + " ", "accent" if run.cause else "faint"),
            (fit(word, 13), role),
        ]
        room = width - sum(len(text) for text, _ in parts) - 2
        figures = next((text for text in _figures(run, before) if len(text) <= room), None)
        if figures is not None:
            parts.append((" " + figures, "muted"))
        rows.append(Row(tuple(parts), ("run", run.run_id), "current" if current else ""))
        before = run
    return rows


def _figures(run: RunSummary, before: RunSummary | None) -> tuple[str, str]:
    """Return calls and kinds with what they changed, and the calls alone for where that is too long."""

    def change(now: int, then: int | None) -> str:
        return "" if then is None or now == then else f" ({now - then:+})"

    calls = f"{run.syscalls} calls{change(run.syscalls, before.syscalls if before else None)}"
    kinds = f"{run.kinds} kinds{change(run.kinds, before.kinds if before else None)}"
    return f"{calls}, {kinds}", calls
