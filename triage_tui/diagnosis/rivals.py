"""Explanations that exclude each other: where two are likely, neither can be as likely as it is by itself.

Entries are weighed one by one, each by what speaks for and against it. Two that name different causes and are
about different things cannot both be the root cause, so each loses confidence by how likely the other is.
Names for one and the same failure (a directory that is missing, or read-only) are no rivals, nor are two ways
of being well.
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
        loss = SHARE * (rival.confidence - LIKELY) if rival is not None else 0.0
        found.append((round(loss, 2), rival.subject) if rival is not None and loss > 0 else (0.0, None))
    return found


def _exclude_each_other(one: Candidate, other: Candidate) -> bool:
    causes = {one.entry.cause, other.entry.cause}
    if len(causes) == 1 or "unknown" in causes or (one.entry.healthy and other.entry.healthy):
        return False
    return not _same_thing(one.subject, other.subject)


def _same_thing(one: Fact, other: Fact) -> bool:
    if one.seq == other.seq and one.seq >= 0:
        return True
    if isinstance(one, FailedCall) and isinstance(other, FailedCall):
        return bool(one.absolute) and one.absolute == other.absolute
    return False
