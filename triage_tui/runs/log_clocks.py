"""How far the clock of a log is from that of a run, told by lines of which the call is known.

Such a line was written soon after its call, and its stamp is true to a span: so each says between which two
figures the distance of the clocks is. What most of them agree on is the interval of Marzullo's algorithm
(K. Marzullo, "Maintaining the time in a distributed system", Stanford 1984; NTP chooses its servers so). All
functions are pure; times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from triage_tui.runs.log_times import SECOND

_LATE = SECOND // 4
"""What may lie between a call and its line, beside the span of the stamp."""
_QUARTER = 900 * SECOND
"""Distances between time zones are whole quarters of an hour,"""
_ZONES = 15 * 3600 * SECOND
"""and no two are further apart than this on either side."""
_LEAST = 3
"""Lines that have to agree; of a time zone fewer do."""
_LEAST_OF_ZONE = 2
_SHARE = 2 / 3


class Seen(msgspec.Struct, frozen=True):
    """A line of which the call is known: when it was stamped, for how long the stamp stays, and the call."""

    stamp: int
    span: int
    earliest: int
    latest: int
    """The call was made between these."""


class Distance(msgspec.Struct, frozen=True):
    """What to add to the times of a log: at least `low`, at most `high`."""

    low: int = 0
    high: int = 0
    agreed: int = 0
    """Lines that agree on it."""
    zone: bool = False
    """Whether it is the distance of two time zones, exactly."""


def distance(seen: Sequence[Seen]) -> Distance | None:
    """Return how far the clocks are apart; None where the lines do not agree on it.

    Clocks that may be the same are taken to be the same: a `Distance` of 0.
    """
    bounds = [(one.earliest - one.stamp - one.span - _LATE, one.latest - one.stamp + _LATE) for one in seen]
    here = sum(low <= 0 <= high for low, high in bounds)
    best, low, high = _most(bounds)
    if here and here >= _SHARE * best:
        return Distance(agreed=here)
    if best < _SHARE * len(bounds):
        return None
    quarter = round((low + high) / 2 / _QUARTER) * _QUARTER
    if best >= _LEAST_OF_ZONE and low <= quarter <= high and 0 < abs(quarter) <= _ZONES:
        return Distance(quarter, quarter, best, zone=True)
    return Distance(low, high, best) if best >= _LEAST else None


def _most(bounds: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """Return how many intervals have a point in common at most, and the first interval in which they have."""
    edges = sorted([(low, -1) for low, _high in bounds] + [(high, 1) for _low, high in bounds])
    count = best = low = high = 0
    for place, (at, kind) in enumerate(edges):
        count -= kind
        if count > best:
            best, low, high = count, at, edges[place + 1][0]
    return best, low, high
