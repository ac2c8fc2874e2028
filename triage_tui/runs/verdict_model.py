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

Rung = Literal[
    "runs",
    "passed",
    "new_branch",
    "listens",
    "answers",
    "answers_twice",
    "stable",
    "unmasked",
    "healthy_exit",
]
"""The rung of the success ladder that a run stands on at its end. `runs`: nothing more than that; `passed`:
the exit or loop of the run before is passed; `new_branch`: it makes calls, or reaches code, that no earlier
round did; `listens`; `answers`: its service answered a probe as it should; `answers_twice`: at once again;
`stable`: and again when the agreed time was over; `unmasked`: the same, and no rule answered or helped on the
way; `healthy_exit`: beside the ladder, it ended well after doing its work."""

RUNGS: tuple[Rung, ...] = (
    "runs",
    "passed",
    "new_branch",
    "listens",
    "answers",
    "answers_twice",
    "stable",
    "unmasked",
)
"""The ladder, the lowest rung first; a program whose work has an end stands on `healthy_exit` instead."""


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
    errnos: dict[str, int] = {}
    """Errors of the recorded calls and how often each came, the most frequent first, at most 16."""
    processes: int = 0
    loop: str = ""
    """The calls that it went round in when it was frozen, "openat, nanosleep"; "" for no loop."""
    probes: list[str] = []
    """What its service was asked and what came of it: "tcp 10.0.0.1:80 answered, twice, still after 2 s"."""
    faked: int = 0
    """Recorded calls that a rule answered or helped with."""
    call_sites: int = 0
    """Places in the code from which the recorded calls were made, where the record says from where."""
    rung: Rung | None = None
    """None in records of versions that did not say it."""


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
    how: Literal["resume", "retry", "checkpoint"] = "retry"
    """Whether the frozen guest went on, was started again, or went on from a checkpoint in a new process."""
    links: list[str] = []
    """For each reason the link to its evidence in this run (see `runs.evidence`), "" where it has none."""
    regained: list[str] = []
    """Signatures that are new against the run before and those that led to it, and that another round of the
    target had reached, bounded."""
    new_sites: list[str] = []
    """Places in the code that made a call now and in no earlier round: "/bin/x+0x1a2c (openat)", bounded."""
    doubted: bool = False
    """The program looks well by its diagnosis, and the judge does not believe it: the reasons say why."""
    compared_with: int = 0
    """Earlier rounds of the target, the one before included, that it was compared with."""

    def link_of(self, reason: int) -> str:
        """Return the link to the evidence of a reason, "" where it has none."""
        return self.links[reason] if reason < len(self.links) else ""


def read_verdict(run_dir: Path) -> Verdict | None:
    """Return what the judge said of a run that retries another, None where there is nothing readable."""
    try:
        raw = read_bounded(run_dir / VERDICT_FILE, MAX_VERDICT_BYTES, whole=True)
        return msgspec.json.decode(raw, type=Verdict)
    except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
