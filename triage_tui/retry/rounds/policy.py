"""Who decides: a person, or a written policy within hard limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.rounds.written_policy import (
    Automatic,
    Line,
    WrittenPolicy,
    policy_path,
    read_policy,
    shipped_policy,
)
from triage_tui.retry.rules import proposed
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.limits import CaptureLimits
from triage_tui.runs.reader import Run

Policy = Literal["manual", "assist", "auto"]
POLICIES: tuple[Policy, ...] = ("manual", "assist", "auto")

SURE = 0.8
"""From this confidence on a cause is taken for the cause."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What may be done before a person must decide, and what may be kept."""

    rounds: int = 6
    """Guest starts and continuations, the first one included."""
    round_s: float = 0.0
    """Longest round, from the start of the guest until it is recorded; 0 is without end."""
    total_s: float = 0.0
    """Longest all rounds together, without the time in which a person decides; 0 is without end."""
    rules: int = 0
    """Changes of the active rules that a policy may approve; 0 is any number. Taking back is no change."""
    captures: int = 0
    """Runs that may be recorded; 0 is any number."""
    decision_s: float = 0.0
    """How long a frozen guest waits for a person; 0 is without end."""
    capture: CaptureLimits = CaptureLimits()
    """How often and how much may be captured."""

    short_s: float = 10.0
    """Seconds after which a retry ends that has failed as before and done nothing new; 0 is never."""

    def __post_init__(self) -> None:
        """Refuse limits that are none.

        Raises:
            TriageError: less than one round, a negative number, or a time that is no number of seconds.
        """
        for what, seconds in (
            ("a round", self.round_s),
            ("all rounds", self.total_s),
            ("the short cycle", self.short_s),
        ):
            if not 0 <= seconds < math.inf:
                raise TriageError(f"the time of {what} must be 0 (no limit) or more seconds, not {seconds:g}")
        for what, most in (("rule changes", self.rules), ("captures", self.captures)):
            if most < 0:
                raise TriageError(f"the most {what} must be 0 (no limit) or more, not {most}")
        if self.rounds < 1:
            raise TriageError(f"at least one round must be allowed, not {self.rounds}")
        if not 0 <= self.decision_s < math.inf:
            raise TriageError(f"the time for a decision must be 0 or more seconds, not {self.decision_s:g}")


class Choice(NamedTuple):
    """What a policy approves, and the line of it that allows that."""

    proposal: Proposal
    line: Line


def choose(
    run: Run, tried: set[str], written: WrittenPolicy | None = None, policy: Automatic = "auto"
) -> Choice | None:
    """Return what a policy approves on this run, None when a person must decide.

    It takes the best proposal that acts, needs nothing that a person has not given, was not tried before, and
    is allowed by a line of the written policy (None: the shipped one); never one of high risk, of a model or
    of a pack. Where the cause is sure and only a person can mend it, what may be behind a lesser hypothesis
    is not tried: it would change the program and not the failure.
    """
    written = written or read_policy(shipped_policy())
    for proposal in proposed.approvable(run, tried | _beside_the_cause(run)):
        if proposal.risk != "high" and (line := written.allows(policy, run, proposal)) is not None:
            return Choice(proposal, line)
    return None


def _beside_the_cause(run: Run) -> set[str]:
    """Return the proposals for unsure hypotheses behind a sure one that only a person can mend."""
    diagnosis = run.diagnosis
    if diagnosis is None or not diagnosis.hypotheses or diagnosis.hypotheses[0].confidence < SURE:
        return set()
    own = [one for one in diagnosis.proposals if one.hypothesis == 0 and not one.observe_only]
    if not own or not all(one.needs_input for one in own):
        return set()
    confidences = [hypothesis.confidence for hypothesis in diagnosis.hypotheses]
    return {
        one.id
        for one in diagnosis.proposals
        if one.hypothesis >= len(confidences) or confidences[one.hypothesis] < SURE
    }


def written_policy(
    workspace: Workspace, policy: Policy, named: str | Path | None, narrate: Callable[[str], None]
) -> WrittenPolicy | None:
    """Return what a policy may approve, None for one that asks a person each time.

    Raises:
        TriageError: the file cannot be used, or was named although nothing asks it.
    """
    if policy == "manual":
        if named is not None:
            raise TriageError("a policy file is for --policy assist or auto: say which")
        return None
    written = read_policy(policy_path(workspace, named))
    if written.path != shipped_policy():
        # It may have come with the workspace.
        narrate(f"the policy in force: {written}")
    for problem in written.problems:
        narrate(problem)
    return written
