"""The arrangement of lines among calls that the most evidence speaks for, and what in it is certain.

Each line of a log may belong to some places of a run, and both have an order. Of all choices that keep both
orders, the heaviest counts: the heaviest increasing subsequence of Jacobson and Vo ("Heaviest
increasing/common subsequence problems", Combinatorial Pattern Matching 1992, LNCS 644, doi
10.1007/3-540-56024-6_5), here with a sorted frontier. It is computed from both ends, so that for each choice
is known how heavy the best arrangement with it is. A choice that is in an arrangement as good as the best is
possible; where two possible choices exclude each other, neither is certain. All functions are pure.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import msgspec

UNIT = 1 << 20
"""Weight of a line that can mean one place and is there once."""
_SLACK = 16
"""Arrangements lighter by less than this share of the best, and by less than one `UNIT`, are as good."""


class Choice(msgspec.Struct, frozen=True, gc=False):
    """A place that a line may have."""

    behind: int
    """The line before may be at this place or at a lower one."""
    place: int
    """What the line behind is held against."""
    seq: int
    """The call."""
    weight: int


class Line(msgspec.Struct, frozen=True):
    """A line with the places that it may have."""

    number: int
    choices: Sequence[Choice]


class Settled(msgspec.Struct, frozen=True):
    """Where a line belongs in the arrangements that are as good as the best."""

    number: int
    first: int
    last: int
    """The first and the last call that it may belong to."""
    certain: bool
    """Whether all of them have it; else it may belong nowhere, and another line in its stead."""


class _Possible(msgspec.Struct, gc=False):
    """A choice of a possible arrangement: the weights of what is before it, and with it."""

    start: int
    end: int
    line: int
    seq: int
    excluded: bool = False


def settle(lines: Sequence[Line]) -> list[Settled]:
    """Return the lines that belong somewhere, in order."""
    to = _heaviest([[(one.behind, one.place, one.weight) for one in line.choices] for line in lines])
    mirrored = [[(-one.place, -one.behind, one.weight) for one in line.choices] for line in reversed(lines)]
    onward = _heaviest(mirrored)[::-1]
    best = max((weight for row in to for weight in row), default=0)
    least = best - min(UNIT - 1, best // _SLACK)
    possible = [
        _Possible(before - choice.weight, before, index, choice.seq)
        for index, line in enumerate(lines)
        for choice, before, after in zip(line.choices, to[index], onward[index], strict=True)
        if before + after - choice.weight >= least
    ]
    _exclude(possible)
    found: dict[int, list[_Possible]] = {}
    for one in possible:
        found.setdefault(one.line, []).append(one)
    return [
        Settled(
            lines[index].number,
            min(one.seq for one in some),
            max(one.seq for one in some),
            not all(one.excluded for one in some),
        )
        for index, some in sorted(found.items())
    ]


def _heaviest(lines: Sequence[Sequence[tuple[int, int, int]]]) -> list[list[int]]:
    """Return of each choice (behind, place, weight) how heavy the best arrangement is that ends with it."""
    places: list[int] = []
    weights: list[int] = []
    """The heaviest arrangement that ends at each of `places` or before; both rise."""
    found = []
    for choices in lines:
        row = []
        # First all are asked, so that no line follows itself.
        for behind, _place, weight in choices:
            at = bisect.bisect_right(places, behind)
            row.append(weight + (weights[at - 1] if at else 0))
        for (_behind, place, _weight), total in zip(choices, row, strict=True):
            at = bisect.bisect_right(places, place)
            if at and weights[at - 1] >= total:
                continue
            begin = at - 1 if at and places[at - 1] == place else at
            end = at
            while end < len(weights) and weights[end] <= total:
                end += 1
            places[begin:end] = [place]
            weights[begin:end] = [total]
        found.append(row)
    return found


def _exclude(possible: list[_Possible]) -> None:
    """Mark the choices that another line's choice excludes: those that overlap in weight.

    What can stand before another choice has at least its own weight before that one. So two that overlap
    stand in no arrangement together.
    """
    possible.sort(key=lambda one: one.start)
    # Of those that begin before: where the last ends, and the last of another line.
    last = other = nobody = _Possible(-1, -1, -1, -1)
    for one in possible:
        furthest = other if last.line == one.line else last
        one.excluded |= furthest.end > one.start
        if one.line == last.line:
            last = one if one.end > last.end else last
        elif one.end > last.end:
            last, other = one, last
        elif one.end > other.end:
            other = one
    # Of those that begin behind: which begins first, and which of another line.
    last = other = nobody
    for one in reversed(possible):
        nearest = other if last.line == one.line else last
        one.excluded |= nearest is not nobody and nearest.start < one.end
        if one.line != last.line:
            other = last
        last = one
