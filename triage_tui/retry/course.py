"""What came of the rounds, and why they ended; and on what terms they are run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.judge import is_well
from triage_tui.retry.policy import Limits, Policy
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Verdict

Narrator = Callable[[str], None]


@dataclass(frozen=True)
class Terms:
    """What was asked of the rounds; it stays the same from the first round to the last."""

    workspace: Workspace
    start: Start
    policy: Policy
    limits: Limits
    hold: bool
    """Whether a frozen guest is kept for a decision; without, one round is run and the guest ended."""
    narrate: Narrator
    cancel: threading.Event
    freeze: FreezeSwitch


@dataclass
class Round:
    """One stop of the guest and what came of it."""

    run: Run
    verdict: Verdict | None = None
    approved: str | None = None
    """Title of the proposal that was approved on it and is still active."""
    approved_before: str | None = None
    """Title of the proposal that was approved for this round, whether it was taken back since or not."""


@dataclass
class Course:
    """All rounds of one call of `run_rounds`, and in one sentence why it ended."""

    rounds: list[Round] = field(default_factory=list)
    ended: str = ""
    held: Run | None = None
    """The run whose guest waits frozen for a decision."""

    @property
    def last_verdict(self) -> Verdict | None:
        """The verdict of the last judged round."""
        return next((r.verdict for r in reversed(self.rounds) if r.verdict is not None), None)

    @property
    def exit_code(self) -> int:
        """0 when the program is well or got further, 1 otherwise."""
        if not self.rounds:
            return 1
        if is_well(self.rounds[-1].run, self.rounds[-1].verdict):
            return 0
        return (
            0 if any(r.verdict and r.verdict.word in ("progressed", "resolved") for r in self.rounds) else 1
        )
