"""The whole comparison of two runs."""

from __future__ import annotations

from typing import NamedTuple

from triage_tui.text import safe_line
from triage_tui.ui.comparison import conclusions, machine
from triage_tui.ui.comparison.model import Section
from triage_tui.ui.rows import short
from triage_tui.ui.run_view import RunView
from triage_tui.ui.words import state_word, target_words, when

MAX_PROBLEMS = 3
"""Problems of each run that are told."""


class Side(NamedTuple):
    """One of the two runs, in words."""

    run_id: str
    name: str
    about: str
    """What it is, in a line."""
    brief: str = ""
    """Which one it is, in two or three words."""


class Comparison(NamedTuple):
    """Two runs compared."""

    sides: tuple[Side, Side]
    sections: list[Section]
    notes: list[str]
    """What makes the comparison less than whole, in sentences."""


def compare(left: RunView, right: RunView) -> Comparison:
    """Compare two runs; takes up to a few seconds, so call it in a thread."""
    sections = [
        machine.facts(left, right),
        *conclusions.rule_sections(left, right),
        machine.syscalls(left, right),
        machine.printed(left, right),
        machine.frames(left, right),
        machine.registers(left, right),
        machine.descriptors(left, right),
    ]
    notes = [note for which, view in (("first", left), ("second", right)) for note in _notes(which, view)]
    return Comparison((_side(left), _side(right)), sections, notes)


def _side(view: RunView) -> Side:
    figures = view.snapshot.statistics
    about = [
        f"round {view.snapshot.round}",
        f"{figures.elapsed_ms / 1000:.1f} s",
        state_word(view.run.state, view.waiting)[0],
        target_words(view.snapshot),
    ]
    # With seconds: two rounds often follow each other within a minute.
    clock = when(view.run_id, long=True)[6:].strip()
    return Side(view.run_id, view.name, " · ".join(about), f"{short(view.name, 16)} {clock}".strip())


def _notes(which: str, view: RunView) -> list[str]:
    problems = [safe_line(problem, 300) for problem in view.run.problems]
    told = [f"The {which} run: {problem}." for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        told.append(f"The {which} run has {len(problems) - MAX_PROBLEMS} more problems.")
    return told
