"""The figures of a verdict as a table: what was counted in the run before, and in the one that is judged."""

from __future__ import annotations

from typing import NamedTuple

from triage_tui.runs.verdict_model import Figures, Verdict

_RUNGS = {
    "answers_twice": "answers twice",
    "unmasked": "stable, nothing masked",
}
_TIME = "time"
_SHOWN = 8
"""Errors that are named, the most frequent ones."""


class FigureRow(NamedTuple):
    """One figure of both runs, raw text."""

    name: str
    before: str
    after: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the same; times never are."""
        return self.before != self.after and self.name != _TIME


def rung_in_words(rung: str) -> str:
    """Return a rung of the success ladder as it is shown; one of another version as it stands there."""
    return _RUNGS.get(rung, rung.replace("_", " "))


def figure_rows(verdict: Verdict) -> list[FigureRow]:
    """Return the figures that at least one of the two runs has, those of the end first."""
    before, after = _texts(verdict.before), _texts(verdict.after)
    rows = [FigureRow(name, before[name], after[name]) for name in before]
    return [row for row in rows if row.before.strip("-0") or row.after.strip("-0")]


def _texts(figures: Figures) -> dict[str, str]:
    errnos = [f"{name} {count}" for name, count in figures.errnos.items()]
    more = len(errnos) - _SHOWN
    return {
        "stopped by": _end(figures),
        "rung": rung_in_words(figures.rung) if figures.rung else "-",
        "loop": figures.loop or "-",
        "calls": str(figures.syscalls),
        "kinds of calls": str(figures.distinct_signatures),
        "failed calls": str(figures.failed_syscalls),
        "errors": ", ".join([*errnos[:_SHOWN], *([f"{more} more"] if more > 0 else [])]) or "-",
        "call sites": str(figures.call_sites),
        "by rules": str(figures.faked),
        "processes": str(figures.processes),
        "listens on": ", ".join(figures.listening) or "-",
        "probes": "; ".join(figures.probes) or "-",
        _TIME: f"{figures.elapsed_ms / 1000:.1f} s",
    }


def _end(figures: Figures) -> str:
    text = figures.reason.replace("_", " ")
    if figures.signal is not None:
        return f"{text} {figures.signal}"
    return text if figures.exit_code is None else f"{text} {figures.exit_code}"
