"""Explanations that exclude each other: where two are likely, neither can be as likely as it is by itself.

Entries are weighed one by one, each by what speaks for and against it. Two that name different causes and are
about different things cannot both be the root cause, so each loses confidence by how likely the other is.
Names for one and the same failure (a directory that is missing, or read-only) are no rivals, nor are two ways
of being well. Two of one cause are rivals where nothing tells apart which of their objects it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from triage_tui.diagnosis.facts import Fact, FailedCall

if TYPE_CHECKING:
    from triage_tui.diagnosis.hypotheses import Candidate

LIKELY = 0.6
"""From this confidence on a rival counts."""

SHARE = 0.4
"""What of the rival's confidence above `LIKELY` is lost."""

SHARE_OF_ONE_CAUSE = 0.5
"""The same where both name one cause: then no more than one can be sure."""

NEAR = 0.1
"""Confidences of one cause that differ by less do not tell its two objects apart."""

SAYS = "another explanation is likely as well"


def losses(chosen: Sequence[Candidate]) -> list[tuple[float, Fact | None]]:
    """Return for each candidate how much confidence it loses, and what its strongest rival is about."""
    found: list[tuple[float, Fact | None]] = []
    for one in chosen:
        rival = max(
            (other for other in chosen if _exclude_each_other(one, other)),
            key=lambda other: other.confidence,
            default=None,
        )
        alike = rival is not None and rival.entry.cause == one.entry.cause
        share = SHARE_OF_ONE_CAUSE if alike else SHARE
        loss = share * (rival.confidence - LIKELY) if rival is not None else 0.0
        found.append((round(loss, 2), rival.subject) if rival is not None and loss > 0 else (0.0, None))
    return found


def _exclude_each_other(one: Candidate, other: Candidate) -> bool:
    causes = {one.entry.cause, other.entry.cause}
    if "unknown" in causes or (one.entry.healthy and other.entry.healthy):
        return False
    if len(causes) == 1 and not _near(one, other):
        return False
    return not _same_thing(one.subject, other.subject)


def _near(one: Candidate, other: Candidate) -> bool:
    """Tell whether two objects of one kind are as likely, so that either may be the one that was needed."""
    both = isinstance(one.subject, FailedCall) and isinstance(other.subject, FailedCall)
    return one is not other and both and abs(one.confidence - other.confidence) <= NEAR


def _same_thing(one: Fact, other: Fact) -> bool:
    if one.seq == other.seq and one.seq >= 0:
        return True
    if isinstance(one, FailedCall) and isinstance(other, FailedCall):
        # What cannot be made in one directory fails for one reason.
        made = one.creates and other.creates and one.parent == other.parent
        return bool(one.absolute) and (one.absolute == other.absolute or made)
    return False
