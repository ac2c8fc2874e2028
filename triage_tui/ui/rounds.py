"""The rounds of one target as rows: how each ended, and its figures beside those before."""

from __future__ import annotations

from triage_tui.runs.listing import RunSummary
from triage_tui.text import safe_line
from triage_tui.ui.rows import Part, Row, fit, heading
from triage_tui.ui.words import state_word, when


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
