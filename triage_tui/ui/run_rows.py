"""Rows of the list of runs: which columns there are at which width, and what each says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len

from triage_tui.runs.stories import Entry
from triage_tui.text import safe_line
from triage_tui.ui.rows import Part, Row, clip, fit
from triage_tui.ui.words import FORMS, REOPENED, next_step, state_word, when

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary

Marked = Literal["", "some", "all"]
"""How many of the runs that a row stands for are marked."""

_STATE = 13
_COLUMNS = 68
"""Cells from which architecture and cause have columns of their own."""
_WIDE = 98
"""Cells from which the date and the reason are shown too."""
SCORED = 138
"""Cells from which the score, figures and the next step are shown too."""


def run_row(entry: Entry, width: int, marked: Marked = "", score: int | None = None) -> Row:
    """Return one run as a row of `width` cells; columns appear as the width allows.

    `score` is that of its story, None where it is not to be shown.
    """
    run = entry.run
    state = _state(run)
    lead = _lead(run, marked)
    time: Part = (when(run.run_id, width >= _WIDE) + (" " if width < _COLUMNS else "  "), "faint")
    end: Part = (" " + fit(state[0], _STATE), state[1])
    if run.problem is not None and not run.program:
        return _problem_row(run, width, lead, time, end)
    columns = _columns(run, width)
    if score is not None:
        columns.append((fit("" if entry.inside else str(score), 4, "right"), "accent" if score else "faint"))
    room = width - sum(cell_len(text) for text, _ in (lead, time, *columns, end))
    before, behind = _place(entry)
    space = max(6, room - len(behind))
    title = clip(before + safe_line(run.name, 120), space)
    strong = "strong" if width >= _COLUMNS or run.waiting else ""
    arguments = fit(" " + safe_line(" ".join(run.argv[1:]), 200), space - cell_len(title))
    name: tuple[Part, ...] = (
        (title, "muted" if entry.inside and width >= _COLUMNS else strong),
        (behind, "accent"),
        (arguments, "muted"),
    )
    return Row((lead, time, *name, *columns, end), run, "wait-row" if run.waiting else "")


def _lead(run: RunSummary, marked: Marked) -> Part:
    """Return the sign at the left: marked, waiting, or something is wrong."""
    if marked:
        return ("✓ ", "good") if marked == "all" else ("~ ", "good")
    if run.waiting:
        return ("▶ ", "wait")
    if run.form == "writing":
        return ("… ", "muted")
    return ("! ", "bad") if run.problem else ("  ", "")


def _state(run: RunSummary) -> tuple[str, str]:
    if run.form != "run" and not run.waiting:
        return FORMS[run.form]
    if run.reopened and not run.waiting:
        return REOPENED
    return state_word(run.state, run.waiting)


def _place(entry: Entry) -> tuple[str, str]:
    """Return what stands before the name of a run, and behind it: its place in its story."""
    child = "↳ " if entry.run.parent_run else ""
    if entry.inside:
        return f"│ {child}", ""
    count = f" \N{MULTIPLICATION SIGN}{entry.folded + 1}" if entry.folded else ""
    return child, count or (" ▾" if entry.size > 1 else "")


def _problem_row(run: RunSummary, width: int, lead: Part, time: Part, end: Part) -> Row:
    """Return the row of what has no program to show: its name, and why."""
    room = max(6, width - sum(cell_len(text) for text, _ in (lead, time, end)))
    name = safe_line(run.run_id, 120)
    if width < _COLUMNS:
        return Row((lead, time, (fit(name, room), ""), end), run)
    name = fit(name, min(24, room // 2)) + "  "
    why = safe_line(run.problem or "", 300)
    return Row((lead, time, (name, "strong"), (fit(why, room - cell_len(name)), "muted"), end), run)


def _columns(run: RunSummary, width: int) -> list[Part]:
    """Return the columns between the name and the state."""
    if width < _COLUMNS:
        return []
    columns: list[Part] = [(" " + fit(safe_line(run.arch, 40), 8) + " ", "info")]
    if width >= _WIDE:
        columns.append((fit(safe_line(run.reason, 40), 10) + " ", "muted"))
    cause = safe_line(run.cause, 60)
    sure = f"{min(1.0, max(0.0, run.confidence)):.2f}" if cause else ""
    columns += [(fit(cause or "-", 18) + " ", "" if cause else "faint"), (fit(sure, 5), "faint")]
    if width >= SCORED:
        calls = f"{run.syscalls} calls" if run.syscalls else ""
        step, role = next_step(run)
        columns += [(fit(calls, 13, "right") + "  ", "faint"), (fit(step, 22), role)]
    return columns
