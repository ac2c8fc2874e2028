"""In which order the memory of a guest is kept, so that what explains a stop is there when room runs out.

First what the thread that is looked at executes and its stack, then what the others execute and their stacks,
then small mappings, and large ones last, smaller before larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from triage_tui.guest.arch import by_name
from triage_tui.runs import process_model
from triage_tui.runs.model import Snapshot

LARGE = 1 << 20
"""Bytes above which a mapping is a large one."""
_CUT = 1 << 16
"""Parts of a mapping begin and end at multiples of this, from its start."""
_AFTER = 4 * _CUT
"""Bytes of a large mapping that are kept first from a stack pointer or pc on: frames lie above the former."""
_SHARE = 8
"""What could take more than one part in so many of the room is not kept whole for one address in it."""

Points = Mapping[int, Sequence[tuple[int, int]]]
"""Process id as the guest sees it -> (rank, address): what is to be kept first, lower ranks before others."""


class Part(msgspec.Struct, frozen=True):
    """A mapping, or a part of one, of the process at `space` in the list of address spaces."""

    rank: tuple[int, int]
    """Lower ones come first."""
    space: int
    mapping: process_model.Mapping


def points_of(snapshot: Snapshot) -> Points:
    """Return the addresses that the threads of a recorded guest work at: pc and stack pointer of each."""
    points: dict[int, list[tuple[int, int]]] = {}
    own = {one.name: one.value for one in snapshot.regs if isinstance(one.value, int)}
    for process in snapshot.processes:
        arch = by_name(process.arch)
        for thread in process.threads:
            registers = own if thread.looked_at else thread.registers
            rank = 0 if thread.looked_at else 1 if process.looked_at else 2
            points.setdefault(process.pid, []).extend(
                (rank, registers[name]) for name in (arch.pc, arch.sp) if name in registers
            )
    return points


def in_order(
    spaces: Sequence[tuple[int, Sequence[process_model.Mapping]]], points: Points, room: int
) -> list[Part]:
    """Return all that is mapped in the order in which it is to be kept.

    `spaces` are process ids (as the guest sees them) with their mappings, the one that is looked at first;
    `room` is how many bytes can be kept in all.
    """
    parts = [
        part
        for index, (pid, maps) in enumerate(spaces)
        for mapping in maps
        for part in _parts(index, mapping, points.get(pid, ()), room)
    ]
    return sorted(parts, key=lambda part: (part.rank, part.space, part.mapping.start))


def _parts(
    space: int, mapping: process_model.Mapping, points: Sequence[tuple[int, int]], room: int
) -> Iterator[Part]:
    size = mapping.end - mapping.start
    rest = (3, 0) if size <= LARGE else (4, size)
    inside = sorted((rank, at) for rank, at in points if mapping.start <= at < mapping.end)
    if not inside:
        yield Part(rest, space, mapping)
    elif size <= max(LARGE, room // _SHARE):
        yield Part((inside[0][0], 0), space, mapping)
    else:
        begin = mapping.start
        for start, end, rank in _windows(mapping, inside):
            if begin < start:
                yield Part(rest, space, _cut(mapping, begin, start))
            yield Part((rank, 0), space, _cut(mapping, start, end))
            begin = end
        if begin < mapping.end:
            yield Part(rest, space, _cut(mapping, begin, mapping.end))


def _windows(mapping: process_model.Mapping, inside: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return (start, end, rank) around the addresses, by address; they do not overlap."""
    found: list[tuple[int, int, int]] = []
    for rank, at in sorted(inside, key=lambda point: point[1]):
        start = at - (at - mapping.start) % _CUT
        end = min(start + _AFTER, mapping.end)
        if found and start < found[-1][1]:
            before = found.pop()
            start, rank = before[0], min(rank, before[2])
        found.append((start, end, rank))
    return found


def _cut(mapping: process_model.Mapping, start: int, end: int) -> process_model.Mapping:
    offset = mapping.offset + start - mapping.start if mapping.path.startswith("/") else mapping.offset
    return process_model.Mapping(
        start=start, end=end, perms=mapping.perms, offset=offset, path=mapping.path, name=mapping.name
    )
