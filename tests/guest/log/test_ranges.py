"""Ranges laid over each other."""

from __future__ import annotations

import random
from itertools import pairwise

from triage_tui.guest.log.ranges import RangeMap


def test_the_newest_decides() -> None:
    ranges = RangeMap()
    ranges.set(10, 50, "a")
    ranges.set(20, 30, "b")
    ranges.set(45, 60, "c")
    assert list(ranges) == [(10, 20, "a"), (20, 30, "b"), (30, 45, "a"), (45, 60, "c")]
    ranges.set(15, 47, None)
    assert list(ranges) == [(10, 15, "a"), (47, 60, "c")]
    assert [ranges.at(address) for address in (9, 10, 14, 15, 47, 59, 60)] == [
        None, "a", "a", None, "c", "c", None,
    ]  # fmt: skip


def test_pieces_fill_the_gaps_and_join_equals() -> None:
    ranges = RangeMap()
    ranges.set(10, 20, "a")
    ranges.set(20, 30, "a")
    ranges.set(40, 50, "b")
    assert ranges.pieces(0, 60) == [
        (0, 10, None),
        (10, 30, "a"),
        (30, 40, None),
        (40, 50, "b"),
        (50, 60, None),
    ]
    assert ranges.pieces(12, 18) == [(12, 18, "a")]
    assert ranges.pieces(31, 39) == [(31, 39, None)]
    assert ranges.pieces(25, 45) == [(25, 30, "a"), (30, 40, None), (40, 45, "b")]


def test_many_ranges_agree_with_a_plain_table() -> None:
    choice = random.Random(4)
    ranges, table = RangeMap(), [None] * 100
    for _ in range(2000):
        start = choice.randrange(100)
        end = choice.randrange(start, 101)
        text = choice.choice(["r", "w", "x", None])
        ranges.set(start, end, text)
        table[start:end] = [text] * (end - start)  # type: ignore[list-item]
        assert [ranges.at(address) for address in range(100)] == table
    pieces = ranges.pieces(0, 100)
    assert [text for start, end, text in pieces for _ in range(start, end)] == table
    assert all(one[2] != other[2] for one, other in pairwise(pieces))


class Counted(list[tuple[int, int, str]]):
    """Counts the entries that are taken out of it."""

    taken = 0

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        found = super().__getitem__(index)
        self.taken += len(found) if isinstance(index, slice) else 1
        return found


def test_a_piece_costs_no_look_at_all_the_others() -> None:
    ranges = RangeMap()
    for start in range(0, 20_000, 2):
        ranges.set(start, start + 1, "r")
    ranges._ranges = counted = Counted(ranges._ranges)
    assert ranges.pieces(100, 102) == [(100, 101, "r"), (101, 102, None)]
    assert counted.taken < 30
