"""What is kept first of a guest's memory."""

from __future__ import annotations

from triage_tui.guest.record.memory_order import in_order
from triage_tui.runs.process_model import Mapping

MIB = 1 << 20


def mapping(start: int, end: int, path: str = "") -> Mapping:
    return Mapping(start=start, end=end, perms="rw-p", offset=0x1000 if path else 0, path=path)


def test_what_threads_work_at_is_first_and_large_mappings_are_last() -> None:
    looked_at = [
        mapping(0, 8 * MIB),
        mapping(10 * MIB, 10 * MIB + 4096),
        mapping(20 * MIB, 24 * MIB),
        mapping(30 * MIB, 31 * MIB),
        mapping(40 * MIB, 41 * MIB),
    ]
    other = [mapping(0, 2 * MIB), mapping(8 * MIB, 9 * MIB)]
    points = {1: [(0, 40 * MIB + 8), (1, 30 * MIB)], 7: [(2, 8 * MIB)]}
    order = in_order([(1, looked_at), (7, other)], points, 1 << 30)
    assert [(part.space, part.mapping.start // MIB) for part in order] == [
        (0, 40), (0, 30), (1, 8), (0, 10), (1, 0), (0, 20), (0, 0),
    ]  # fmt: skip


def test_of_a_mapping_that_would_take_all_the_room_a_piece_comes_first() -> None:
    whole = mapping(16 * MIB, 80 * MIB, "/dev/mem")
    small = mapping(4 * MIB, 5 * MIB)
    stack, pc = 48 * MIB + 0x12345, 48 * MIB + 0x31000
    order = in_order([(1, [small, whole])], {1: [(0, stack), (1, pc), (1, 80 * MIB - 16)]}, 8 * MIB)
    ranges = [(part.mapping.start, part.mapping.end) for part in order]
    first, second = (48 * MIB + 0x10000, 48 * MIB + 0x70000), (80 * MIB - 0x10000, 80 * MIB)
    assert ranges == [
        first, second, (4 * MIB, 5 * MIB), (16 * MIB, first[0]), (first[1], second[0]),
    ]  # fmt: skip
    assert all(
        part.mapping.offset == 0x1000 + part.mapping.start - 16 * MIB
        for part in order
        if part.mapping.path == "/dev/mem"
    )
    # Where there is room for it, it stays in one piece.
    order = in_order([(1, [small, whole])], {1: [(0, stack)]}, 1 << 30)
    assert [part.mapping for part in order] == [whole, small]
