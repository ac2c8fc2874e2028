"""What came of the rounds, and why they ended; and on what terms they are run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from triage_tui.exit_codes import DONE, NO, PERSON
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.judging.judge import is_well
from triage_tui.retry.rounds.policy import Limits, Policy
from triage_tui.retry.rounds.written_policy import Automatic, WrittenPolicy
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import Run
from triage_tui.runs.record import Record
from triage_tui.runs.verdict_model import Verdict

Narrator = Callable[[str], None]

Stage = Literal["retry", "decide", "ended"]
"""Where a course stands: a retry is under way or to be made, a decision is, or nothing more is."""
LimitName = Literal["", "rounds", "round_s", "total_s", "rules", "captures"]


class Terms(msgspec.Struct, frozen=True):
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
    written: WrittenPolicy | None = None
    """What a policy may approve; None under `manual`."""

    @property
    def automatic(self) -> Automatic:
        """The part of the written policy that is asked."""
        return "assist" if self.policy == "assist" else "auto"

    @property
    def actor(self) -> str:
        """Who decides where the policy does, in the logs."""
        return f"policy:{self.policy}"


class Round(msgspec.Struct):
    """One stop of the guest and what came of it."""

    run: Run
    verdict: Verdict | None = None
    approved: str | None = None
    """Title of the proposal that was approved on it and is still active."""
    approved_before: str | None = None
    """Title of the proposal that was approved for this round, whether it was taken back since or not."""


class Used(Record):
    """What a course used of its limits."""

    rounds: int = 0
    """Rounds that were begun, those that came to nothing included."""
    rules: int = 0
    captures: int = 0
    seconds: float = 0.0
    """Time of the rounds, by the monotonic clock."""


class Course(msgspec.Struct):
    """All rounds of one call of `run_rounds`, and in one sentence why it ended."""

    rounds: list[Round] = msgspec.field(default_factory=list)
    ended: str = ""
    held: Run | None = None
    """The run whose guest waits frozen for a decision."""
    stage: Stage = "retry"
    left: bool = False
    """Whether it ended because a person must decide."""
    over: LimitName = ""
    """The limit that it ended at."""
    used: Used = msgspec.field(default_factory=Used)
    last_s: float = 0.0
    """Seconds that the last round took."""
    tried: set[str] = msgspec.field(default_factory=set)
    """Proposals that the policy approved, whatever came of them."""

    def end(self, why: str, stage: Stage = "ended") -> None:
        """Note why no further round follows; other stages than "ended" can be gone on from."""
        self.ended, self.stage = why, stage

    @property
    def last_verdict(self) -> Verdict | None:
        """The verdict of the last judged round."""
        return next((r.verdict for r in reversed(self.rounds) if r.verdict is not None), None)

    @property
    def exit_code(self) -> int:
        """DONE when the program is well or got further; else PERSON where one must decide, NO otherwise."""
        if not self.rounds:
            return NO
        if is_well(self.rounds[-1].run, self.rounds[-1].verdict):
            return DONE
        if any(r.verdict and r.verdict.word in ("progressed", "resolved") for r in self.rounds):
            return DONE
        return PERSON if self.left else NO
