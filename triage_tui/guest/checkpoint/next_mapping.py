"""From where the emulator looks for room when a guest maps memory without saying where.

QEMU keeps that in a variable, `mmap_next_start` (linux-user/mmap.c): the end of what it gave last, or its
begin where it goes downwards. Without it a guest that goes on from a checkpoint would get other addresses,
64-bit guests even such among the emulator's own, and a loader that aligns what it got makes other calls.
"""

from __future__ import annotations

import sys

from triage_tui.guest.checkpoint.injecting import PAGE, Injector
from triage_tui.guest.emulator.emulator_image import own_image
from triage_tui.guest.host import host_memory, process

_MAX_DATA = 4 << 20
_SIZES = (3 * PAGE, 5 * PAGE)


def find_next_mapping(pid: int, injector: Injector) -> int | None:
    """Return the host address of that variable in process `pid`, in whose place `injector` makes calls.

    None where it is not found. It has the same value afterwards.

    Raises:
        OSError: the process is gone.
        TriageError: a call cannot be made.
    """
    size = injector.arch.word
    before = _data(pid)
    looks: list[tuple[tuple[int, int], dict[int, bytes]]] = []
    for length in _SIZES:
        start = injector.map_anywhere(length)
        looks.append(((start, start + length), _data(pid)))
        injector.call("munmap", start, length)
    found: set[int] = set()
    for which in (0, 1):
        # What stays the same may be something else.
        if looks[0][0][which] != looks[1][0][which]:
            first, second = (_places(data, ends[which].to_bytes(size, sys.byteorder)) for ends, data in looks)
            found |= first & second
    if len(found) != 1:
        return None
    (place,) = found
    for at, content in before.items():
        if at <= place < at + len(content):
            host_memory.write_memory(pid, place, content[place - at : place - at + size])
    return place


def _data(pid: int) -> dict[int, bytes]:
    """Return the emulator's own data: host address -> content."""
    _start, writable = own_image(pid, process.read_maps(pid))
    return {
        one.start: host_memory.read_memory(pid, one.start, min(one.end - one.start, _MAX_DATA))
        for one in writable
    }


def _places(data: dict[int, bytes], value: bytes) -> set[int]:
    found = set()
    for start, content in data.items():
        at = content.find(value)
        while at >= 0:
            if at % len(value) == 0:
                found.add(start + at)
            at = content.find(value, at + 1)
    return found


def read_next_mapping(pid: int, place: int | None, size: int) -> int:
    """Return the value of the variable at `place`, which has `size` bytes; 0 where it was not found.

    Raises:
        OSError: the process is gone.
    """
    if place is None:
        return 0
    return int.from_bytes(host_memory.read_memory(pid, place, size), sys.byteorder)


def write_next_mapping(pid: int, place: int | None, size: int, value: int) -> None:
    """Set it, where it was found and `value` is not 0.

    Raises:
        OSError: the process is gone.
    """
    if place is not None and value:
        host_memory.write_memory(pid, place, value.to_bytes(size, sys.byteorder))
