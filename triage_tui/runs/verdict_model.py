"""The content of `verdict.json`: what the judge said about a retry, and the figures it looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.runs.record import Record

VERDICT_FILE = "verdict.json"
MAX_VERDICT_BYTES = 1 << 20

VerdictWord = Literal["progressed", "sideways", "regressed", "resolved", "inconclusive"]

Rung = Literal["runs", "passed", "new_branch", "listens", "answers", "healthy_exit"]
"""The rung of the success ladder that the run stands on: it runs; the exit or loop is passed; it makes
syscalls never seen before; it listens; its service answers a probe; it ended well after doing its work."""


class Figures(Record):
    """What was counted in one run."""

    run_id: str
    reason: str
    exit_code: int | None = None
    signal: str | None = None
    syscalls: int = 0
    distinct_signatures: int = 0
    failed_syscalls: int = 0
    listening: list[str] = []
    elapsed_ms: float = 0.0


class Verdict(Record):
    """The judgement on one run against the run that it retries."""

    word: VerdictWord
    rung: Rung
    reasons: list[str]
    """One sentence each, the decisive one first."""
    before: Figures
    after: Figures
    novel: list[str] = []
    """Syscall signatures of this run that no earlier round had, in order, bounded."""
    masked: list[str] = []
    """What rules answered or supplied on the way: the failure is masked there, not fixed."""
    how: Literal["resume", "retry"] = "retry"


def read_verdict(run_dir: Path) -> Verdict | None:
    """Return what the judge said of a run that retries another, None where there is nothing readable."""
    try:
        raw = read_bounded(run_dir / VERDICT_FILE, MAX_VERDICT_BYTES, whole=True)
        return msgspec.json.decode(raw, type=Verdict)
    except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
