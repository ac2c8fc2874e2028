"""Why this and not that: what set a hypothesis apart from the best one, each reason with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triage_tui.diagnosis.cite import Citer, inert
from triage_tui.diagnosis.facts import Fact, FailedCall
from triage_tui.runs.diagnosis_model import Evidence

if TYPE_CHECKING:
    from triage_tui.diagnosis.hypotheses import Candidate

MOST = 2
"""Reasons that are given; further ones weigh less."""
LEAST_SHARE = 0.25
"""A reason that makes up less of the distance than this is left out when there is another."""


def reasons_below(best: Candidate, other: Candidate, citer: Citer) -> list[Evidence]:
    """Return why `other` is ranked below `best`: what made up most of the distance, most telling first."""
    found = sorted(_differences(best, other), key=lambda one: -one[0])
    distance = best.confidence - other.confidence
    if distance <= 0 or not found:
        says = "nothing sets it apart from the first one: by what was recorded both are as likely"
        return _cited(other.subject, says, other, citer)
    least = max(0.02, LEAST_SHARE * distance)
    telling = [one for one in found if one[0] >= least] or found[:1]
    return [cited for _, says, fact in telling[:MOST] for cited in _cited(fact, says, other, citer)]


def _cited(fact: Fact, says: str, other: Candidate, citer: Citer) -> list[Evidence]:
    """Return a reason with its evidence, none where the record holds no place that shows it."""
    shown = next((one for one in (fact, other.subject) if citer.link(one) is not None), None)
    return [] if shown is None else [citer.evidence(shown, says)]


def _differences(best: Candidate, other: Candidate) -> list[tuple[float, str, Fact]]:
    """Return what speaks for `best` against `other`: (how much, one sentence, the fact that shows it)."""
    found: list[tuple[float, str, Fact]] = []
    for change in (*other.changes, *other.taken):
        if change.add < 0:
            fact = change.fact or other.subject
            found.append((-change.add, f"against it: {change.says} ({change.add:+.2f})", fact))
    for change in best.changes:
        if change.add > 0:
            fact = change.fact or best.subject
            found.append((change.add, f"for the first one: {change.says} ({change.add:+.2f})", fact))
    tied = _tie(best) - _tie(other)
    both_tied = best.entry.per_relevance > 0 and other.entry.per_relevance > 0
    if tied > 0 and both_tied and best.relevance > other.relevance:
        cite = inert(best.subject.cite, 120)
        figures = f"relevance {other.relevance:.2f}, not {best.relevance:.2f}"
        found.append((tied, f"its call is tied to the end less closely than {cite}: {figures}", best.subject))
    of_itself = best.entry.base - other.entry.base + (0.0 if both_tied and tied > 0 else tied)
    # What a ceiling takes from either was never between them.
    of_itself = min(of_itself, round(_alone(best) - _alone(other), 2))
    if of_itself > 0:
        figures = f"{_alone(other):.2f}, not {_alone(best):.2f}"
        found.append((of_itself, f"such a finding says less by itself: {figures}", other.subject))
    if other.bound == "ceiling":
        lost = best.confidence - other.entry.ceiling
        says = f"what it rests on never makes it more certain than {other.entry.ceiling:.2f}"
        found.append((lost, says, other.subject))
    elif other.bound == "irrelevant" and isinstance(other.subject, FailedCall):
        why = f": {other.subject.noise}" if other.subject.noise else ""
        says = f"its call hardly matters for the end (relevance {other.relevance:.2f}){why}"
        found.append((1.0, says, other.subject))
    return found


def _tie(candidate: Candidate) -> float:
    """Return how much of the confidence comes from the tie of the call to the end."""
    return candidate.entry.per_relevance * candidate.relevance


def _alone(candidate: Candidate) -> float:
    """Return the confidence before anything else was looked at, as far as the ceiling allows it."""
    return min(candidate.entry.ceiling, candidate.entry.base + _tie(candidate))
