"""Where jumps by a table lead in ARM code, and how far a table within the code reaches.

Compilers put such a table behind the jump, and the code that it leads to behind the table. How many entries
it has is known only from a comparison somewhere before; but it ends at the latest where the first of its
targets begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from triage_tui.binary.sweep.follower import View

MAX_ENTRIES = 1024
_NEAR = 1 << 15
"""Bytes between a jump and where it leads."""
_LITTLE_BRANCH = 0xEA
"""First byte of an unconditional A32 branch."""


def byte_table(view: View, table: int, width: int) -> tuple[list[int], int]:
    """Return (targets, end) of the table of a Thumb `tbb` (width 1) or `tbh` (width 2), which follows it."""
    order = _order(view)

    def target(place: int) -> int | None:
        raw = view.read(place, width)
        return table + 2 * int.from_bytes(raw, order) if len(raw) == width else None

    targets, end = _entries(table, width, target)
    return targets, end + (end & 1)


def word_table(view: View, base: int, *, relative: bool) -> tuple[list[int], int]:
    """Return (targets, end) of a table of words at `base`: addresses, or distances from it."""
    order = _order(view)

    def target(place: int) -> int | None:
        raw = view.read(place, 4)
        if len(raw) < 4:
            return None
        value = int.from_bytes(raw, order, signed=relative)
        return ((base + value if relative else value) & view.mask) & ~1

    return _entries(base, 4, target)


def branch_table(view: View, first: int) -> list[int]:
    """Return what a table of A32 branches leads to: the branches from `first` on, and where these lead."""
    found = []
    order = _order(view)
    top = 3 if order == "little" else 0
    for place in range(first, first + 4 * MAX_ENTRIES, 4):
        raw = view.read(place, 4)
        if len(raw) < 4 or raw[top] != _LITTLE_BRANCH:
            break
        distance = int.from_bytes(raw, order) & 0xFFFFFF
        distance -= (distance & 0x800000) << 1
        found += [place, (place + 8 + 4 * distance) & view.mask]
    return found


def _entries(base: int, width: int, target: Callable[[int], int | None]) -> tuple[list[int], int]:
    targets: list[int] = []
    place, stop = base, base + width * MAX_ENTRIES
    while place < stop:
        found = target(place)
        if found is None or abs(found - base) > _NEAR or base <= found < place + width:
            break
        targets.append(found)
        if found > base:
            stop = min(stop, found)
        place += width
    return targets, place


def _order(view: View) -> Literal["little", "big"]:
    return "little" if view.little else "big"
