"""The rounds of one target as a ladder: the run, those that it retries, and those that retry it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from triage_tui.runs.events import Event, read_events
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.listing import RunSummary, summarize
from triage_tui.text import safe_line
from triage_tui.ui.rows import Part, Row, fit, heading
from triage_tui.ui.words import state_word

MAX_ROUNDS = 64
"""Rounds that are followed in each direction."""


def ladder(run_dir: Path) -> list[RunSummary]:
    """Return the rounds that the run in `run_dir` is one of, the first one first."""
    here = summarize(run_dir)
    before = list(_before(here))
    return [*reversed(before), here, *_after(here, {run.run_id for run in before} | {here.run_id})]


def _before(run: RunSummary) -> Iterator[RunSummary]:
    seen = {run.run_id}
    for _ in range(MAX_ROUNDS):
        found = _sibling(run, run.parent_run, seen)
        if found is None:
            return
        yield found
        run = found


def _after(run: RunSummary, seen: set[str]) -> Iterator[RunSummary]:
    for _ in range(MAX_ROUNDS):
        events, _problems = read_events(run.dir)
        found = _sibling(run, _led_to(events), seen)
        if found is None:
            return
        yield found
        run = found


def _led_to(events: list[Event]) -> str | None:
    last = next((event for event in reversed(events) if event.kind == "retry_finished"), None)
    name = last.payload.get("run") if last is not None else None
    return name if isinstance(name, str) else None


def _sibling(run: RunSummary, name: str | None, seen: set[str]) -> RunSummary | None:
    """Return the run called `name` beside `run`; records are hostile, so none is visited twice."""
    if name is None or not is_run_id(name) or name in seen:
        return None
    path = run.dir.parent / name
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
            (f"{run.run_id[9:11]}:{run.run_id[11:13]} ", "faint"),
            (fit(safe_line(run.reason), 10) + " ", ""),
            (fit(safe_line(run.cause or "-"), 18) + " ", "accent" if run.cause else "faint"),
            (fit(word, 13), role),
        ]
        figures = _figures(run, before)
        if width - sum(len(text) for text, _ in parts) > len(figures) + 1:
            parts.append((" " + figures, "muted"))
        rows.append(Row(tuple(parts), ("run", run.run_id), "current" if current else ""))
        before = run
    return rows


def _figures(run: RunSummary, before: RunSummary | None) -> str:
    def change(now: int, then: int | None) -> str:
        return "" if then is None or now == then else f" ({now - then:+})"

    calls = f"{run.syscalls} calls{change(run.syscalls, before.syscalls if before else None)}"
    return f"{calls}, {run.kinds} kinds{change(run.kinds, before.kinds if before else None)}"
