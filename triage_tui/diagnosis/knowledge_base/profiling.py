"""How long a diagnosis takes: per phase, and per entry of the knowledge base."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median

import msgspec

from triage_tui.diagnosis.causality import weigh
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.facts import FailedCall
from triage_tui.diagnosis.hypotheses import candidates_of, hypothesize
from triage_tui.diagnosis.knowledge import KnowledgeBase, read_knowledge
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose
from triage_tui.rule_places import origin
from triage_tui.runs.reader import load_run

_PHASES = ("knowledge base", "record", "facts", "causality", "entries", "report")
ROUNDS = 5
"""Measurements of each thing; the median counts."""


class Phase(msgspec.Struct, kw_only=True):
    """One phase of a diagnosis, milliseconds over all runs."""

    phase: str
    ms: float
    share: float
    """Of the whole, 0..1."""


class TimedEntry(msgspec.Struct, kw_only=True):
    """One entry, milliseconds over all runs."""

    entry: str
    origin: str
    ms: float
    share: float
    """Of the time of all entries, 0..1."""
    fits: int
    """Runs in which it could be said."""


class Profile(msgspec.Struct, kw_only=True):
    """Where the time goes."""

    runs: int
    calls: int
    """Recorded calls in all of them."""
    phases: list[Phase]
    entries: list[TimedEntry]
    """Slowest first."""


class _Sums(msgspec.Struct):
    """Milliseconds, and counts, over all runs so far."""

    per_entry: dict[str, float]
    phases: dict[str, float] = msgspec.field(default_factory=lambda: dict.fromkeys(_PHASES, 0.0))
    fits: Counter[str] = msgspec.field(default_factory=Counter)
    runs: int = 0
    calls: int = 0


def _measure(run_dir: Path, base: KnowledgeBase, sums: _Sums) -> None:
    """Measure the diagnosis of one run."""
    phases = sums.phases
    phases["record"] += _timed(lambda: load_run(run_dir).trace())
    run = load_run(run_dir)
    sums.runs += 1
    sums.calls += len(run.trace())
    facts = gather(run, base.causality)
    failed = [fact for fact in facts.of("failed_call") if isinstance(fact, FailedCall)]
    weighing = _timed(lambda: weigh(failed, facts.messages, facts.end, base.causality))
    phases["causality"] += weighing
    phases["facts"] += max(0.0, _timed(lambda: gather(run, base.causality)) - weighing)
    asking = 0.0
    for entry in base.entries:
        spent = _timed(partial(candidates_of, entry, facts))
        sums.per_entry[entry.id] += spent
        sums.fits[entry.id] += bool(candidates_of(entry, facts))
        asking += spent
    phases["entries"] += asking
    whole = _timed(lambda: hypothesize(run, facts, base))
    diagnosis = diagnose(run, base)
    phases["report"] += max(0.0, whole - asking) + _timed(lambda: render_markdown(run, diagnosis))


def profile(run_dirs: Iterable[Path], base: KnowledgeBase, directories: Iterable[Path]) -> Profile:
    """Measure the diagnosis of runs, each phase by itself.

    Raises:
        TriageError: a run cannot be read.
    """
    places = list(directories)
    sums = _Sums(per_entry={entry.id: 0.0 for entry in base.entries})
    sums.phases["knowledge base"] = _timed(lambda: read_knowledge(places))
    for run_dir in run_dirs:
        _measure(run_dir, base, sums)
    totals, per_entry, fits = sums.phases, sums.per_entry, sums.fits
    everything = sum(totals.values()) or 1.0
    entries_in_all = sum(per_entry.values()) or 1.0
    return Profile(
        runs=sums.runs,
        calls=sums.calls,
        phases=[
            Phase(phase=name, ms=round(ms, 3), share=round(ms / everything, 4)) for name, ms in totals.items()
        ],
        entries=sorted(
            (
                TimedEntry(
                    entry=entry.id,
                    origin="" if entry.shipped else origin(entry.file),
                    ms=round(per_entry[entry.id], 4),
                    share=round(per_entry[entry.id] / entries_in_all, 4),
                    fits=fits[entry.id],
                )
                for entry in base.entries
            ),
            key=lambda one: -one.ms,
        ),
    )


def _timed(work: Callable[[], object]) -> float:
    """Return the median time of `work` in milliseconds."""
    spent = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    return median(spent) * 1000
