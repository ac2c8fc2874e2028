"""Delta debugging: the smallest part of a set that still has a property.

Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE Transactions on Software
Engineering 28(2), 2002: algorithm ddmin, figure 3. The property need not be monotone: what is returned has
it, and loses it when any one element is taken away (1-minimal).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(
    items: Sequence[T], holds: Callable[[Sequence[T]], bool], smaller: Callable[[Sequence[T]], None]
) -> list[T]:
    """Return a 1-minimal part of `items` for which `holds` is true, in their order.

    `holds` is true for all of `items` and is not asked about them; it is asked about the empty part first,
    and about no part twice. `smaller` is told of each smaller part that was found, so that what is known is
    not lost where `holds` raises.
    """
    known: dict[tuple[int, ...], bool] = {}

    def test(part: Sequence[int]) -> bool:
        key = tuple(part)
        if key not in known:
            known[key] = holds([items[place] for place in part])
            if known[key]:
                smaller([items[place] for place in part])
        return known[key]

    part = list(range(len(items)))
    if not part or test([]):
        return []
    pieces = 2
    while len(part) > 1:
        subsets = _split(part, pieces)
        complements = [[place for place in part if place not in subset] for subset in subsets]
        if (found := next((one for one in subsets if test(one)), None)) is not None:
            part, pieces = found, 2
        elif (found := next((one for one in complements if test(one)), None)) is not None:
            part, pieces = found, max(pieces - 1, 2)
        elif pieces < len(part):
            pieces = min(len(part), 2 * pieces)
        else:
            break
    return [items[place] for place in part]


def _split(part: list[int], pieces: int) -> list[list[int]]:
    """Return `part` in so many pieces, as even as can be."""
    found, start = [], 0
    for left in range(pieces, 0, -1):
        end = start + (len(part) - start) // left
        found.append(part[start:end])
        start = end
    return [one for one in found if one]
