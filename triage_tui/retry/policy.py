"""Who decides: a person, or written limits."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.proposed import best_proposal
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.limits import CaptureLimits
from triage_tui.runs.reader import Run

Policy = Literal["manual", "auto"]

AUTO_ACTOR = "policy:auto"

SURE = 0.8
"""From this confidence on a cause is taken for the cause."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What may be done before a person must decide, and what may be kept."""

    rounds: int = 6
    """Guest starts and continuations, the first one included."""
    decision_s: float = 0.0
    """How long a frozen guest waits for a person; 0 is without end."""
    capture: CaptureLimits = CaptureLimits()
    """How often and how much may be captured."""

    def __post_init__(self) -> None:
        """Refuse limits that are none.

        Raises:
            TriageError: less than one round, or a time that is no number of seconds.
        """
        if self.rounds < 1:
            raise TriageError(f"at least one round must be allowed, not {self.rounds}")
        if not 0 <= self.decision_s < math.inf:
            raise TriageError(f"the time for a decision must be 0 or more seconds, not {self.decision_s:g}")


def choose(run: Run, tried: set[str]) -> Proposal | None:
    """Return what the automatic policy approves on this run, None when a person must decide.

    It takes the best proposal that acts, needs nothing from a person, carries no high risk and was not
    tried before. Where the cause is sure and only a person can mend it, what may be behind a lesser
    hypothesis is not tried: it would change the program and not the failure.
    """
    skip = set(tried) | _beside_the_cause(run)
    while True:
        try:
            proposal = best_proposal(run, skip)
        except TriageError:
            return None
        if proposal.risk != "high":
            return proposal
        skip.add(proposal.id)


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
