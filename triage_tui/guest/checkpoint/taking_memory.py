"""The pages of a frozen process that a new one would not have by itself."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec

from triage_tui.guest.checkpoint.model import PAGE, PageRun
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.host import process
from triage_tui.runs.limits import show_size
from triage_tui.runs.process_model import Mapping

_PRESENT, _SWAPPED, _OF_FILE = 1 << 63, 1 << 62, 1 << 61
_ZEROS = bytes(PAGE)
_BLOCK = 256 * PAGE
_MAP_PIECE = 1 << 17
"""Pages whose state is read at once."""


def emulator_pages(areas: Iterable[Mapping]) -> frozenset[int]:
    """Return where what looks like a page lies that the emulator itself gave the guest.

    For returns from signal handlers, or ARM's helpers. A program's own page of code looks like that as well,
    but was not there from the beginning.
    """
    return frozenset(
        area.start
        for area in areas
        if not area.path and not area.name and area.perms == "r-xp" and area.end - area.start == PAGE
    )


def without_name(area: Mapping) -> Mapping:
    """Return a mapping as the guest made it: the kernel keeps memory that is shared, and of no file, in one
    that it calls /dev/zero (mm/shmem.c, shmem_zero_setup)."""
    if area.path != "/dev/zero (deleted)" or not area.perms.endswith("s"):
        return area
    return msgspec.structs.replace(area, path="", offset=0)


def keep_pages(
    pid: int, base: int, areas: Sequence[Mapping], output: BinaryIO, room: int, what: str = "its memory"
) -> tuple[list[PageRun], int]:
    """Write the pages of `areas` that a new process would not have so; return them, and their bytes.

    These are not a file's any more, and not zero where nothing else would be there. What is shared and of a
    file is in the file.

    `base` is the host address of guest address 0. At most `room` bytes are written.

    Raises:
        Obstacle: there are more.
        OSError: they cannot be read or written.
    """
    runs: list[PageRun] = []
    written = 0
    directory = f"/proc/{process.living_id(pid)}"
    with open(f"{directory}/mem", "rb", buffering=0) as memory, open(f"{directory}/pagemap", "rb") as table:
        for area in areas:
            if area.path and area.perms.endswith("s"):
                continue
            whole = area.perms.endswith("s")
            for start, end in own_pages(table, base, area, whole):
                for at in range(start, end, _BLOCK):
                    size = min(_BLOCK, end - at)
                    data = os.pread(memory.fileno(), size, base + at)
                    if len(data) < size:
                        raise OSError(5, f"memory at {at:#x} cannot be read")
                    # Where a file is mapped, zeros are what the program has put over the file's bytes.
                    every = [(0, len(data) // PAGE)]
                    for first, count in every if area.path else _filled(data):
                        part = data[first * PAGE : (first + count) * PAGE]
                        if written + len(part) > room:
                            raise Obstacle(
                                f"{what} is larger than the {show_size(room)} that a checkpoint may have here"
                            )
                        output.write(part)
                        _note(runs, at + first * PAGE, count, written)
                        written += len(part)
    return runs, written


def _note(runs: list[PageRun], start: int, count: int, offset: int) -> None:
    if runs and runs[-1].start + runs[-1].count * PAGE == start:
        last = runs.pop()
        start, count, offset = last.start, last.count + count, last.offset
    runs.append(PageRun(start, count, offset))


def _filled(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (first page, pages) of what is not zero."""
    begin = -1
    pages = len(data) // PAGE
    for index in range(pages):
        zero = data.startswith(_ZEROS, index * PAGE)
        if not zero and begin < 0:
            begin = index
        elif zero and begin >= 0:
            yield begin, index - begin
            begin = -1
    if begin >= 0:
        yield begin, pages - begin


def own_pages(table: BinaryIO, base: int, area: Mapping, whole: bool) -> Iterator[tuple[int, int]]:
    """Yield the ranges of an area in which it has pages that are not a file's (pagemap, proc(5))."""
    if whole:
        yield area.start, area.end
        return
    begin = -1
    address = area.start
    while address < area.end:
        count = min(_MAP_PIECE, (area.end - address) // PAGE)
        data = os.pread(table.fileno(), 8 * count, (base + address) // PAGE * 8)
        if len(data) < 8 * count:
            raise OSError(5, "the process is gone")
        if not any(data):
            if begin >= 0:
                yield begin, address
                begin = -1
            address += count * PAGE
            continue
        for entry in array("Q", data):
            own = bool(entry & (_PRESENT | _SWAPPED)) and not (area.path and entry & _OF_FILE)
            if own and begin < 0:
                begin = address
            elif not own and begin >= 0:
                yield begin, address
                begin = -1
            address += PAGE
    if begin >= 0:
        yield begin, area.end
