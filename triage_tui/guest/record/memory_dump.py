"""Keep all memory of a frozen guest, mapping by mapping, without ever holding more than one block of it.

Only what is there is kept: /proc/<pid>/pagemap (proc(5)) tells which pages a process really has, pages of
zeros are passed over, and what is still as it is in a file is kept as a reference to that file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from triage_tui.guest.host import process
from triage_tui.guest.record.memory_order import Points, in_order
from triage_tui.runs.memory_files import BlockWriter
from triage_tui.runs.memory_model import FileExtent, MemoryExtent, MemoryRegion
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.writer import RunWriter

_PAGE = 4096
_UNIT_PAGES = 16
_UNIT = _UNIT_PAGES * _PAGE
"""Bytes that are kept or left out together: holes smaller than that cost more to describe than to keep."""
_ZEROS = bytes(_UNIT)
_MAP_PIECE = 1 << 16
"""Bytes of pagemap read at once."""
_PRESENT, _SWAPPED, _OF_FILE = 1 << 63, 1 << 62, 1 << 61
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
MAX_EXTENTS = 100_000
"""Extents described of one process."""


class AddressSpace(msgspec.Struct, frozen=True):
    """The memory of one process. `pid` is its id as the guest sees it."""

    pid: int
    host_pid: int
    base: int
    """Host address of guest address 0."""
    maps: list[Mapping]


class _Gone(Exception):
    """The process has ended meanwhile."""


def dump_memory(
    spaces: Sequence[AddressSpace], writer: RunWriter, limit: int, points: Points | None = None
) -> list[MemoryRegion]:
    """Keep the memory of the processes through `writer`, at most `limit` bytes; return what was kept.

    With not enough room for all, what lies at `points` comes first and large mappings last. What could not be
    kept is said in each region; they are in the order of `spaces` and of their addresses. Nothing of the
    guest's state changes.
    """
    dumps = [_Dump(space, writer) for space in spaces]
    order = in_order([(space.pid, space.maps) for space in spaces], points or {}, limit)
    found: list[tuple[int, MemoryRegion]] = []
    left = limit
    for index, parts in groupby(order, key=lambda part: part.space):
        with dumps[index].opened() as dump:
            for part in parts:
                region = dump.keep(part.mapping, left)
                left -= region.size
                found.append((index, region))
    found.sort(key=lambda entry: (entry[0], entry[1].start))
    return [region for _, region in found]


def _region(space: AddressSpace, mapping: Mapping) -> MemoryRegion:
    return MemoryRegion(
        pid=space.pid,
        start=mapping.start,
        end=mapping.end,
        perms=mapping.perms,
        name=mapping.path or mapping.name,
        how="pages that the process has, read through /proc/<pid>/mem",
    )


def _unread(space: AddressSpace, mapping: Mapping, why: str) -> MemoryRegion:
    region = _region(space, mapping)
    region.missing, region.how = why, ""
    return region


class _Dump:
    """The dump of one process."""

    def __init__(self, space: AddressSpace, writer: RunWriter) -> None:
        self._space = space
        self._memory = self._pages = -1
        self._unreadable = ""
        self._writer = writer
        self._extents_left = MAX_EXTENTS
        self._scratch = bytearray(_UNIT)

    @contextlib.contextmanager
    def opened(self) -> Iterator[_Dump]:
        """Open the process: only one is open at a time, however many there are."""
        directory = f"/proc/{process.living_id(self._space.host_pid)}"
        with contextlib.ExitStack() as stack:
            try:
                self._memory = os.open(f"{directory}/mem", os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, self._memory)
                self._pages = os.open(f"{directory}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, self._pages)
            except OSError as error:
                self._unreadable = error.strerror or str(error)
            yield self

    def keep(self, mapping: Mapping, limit: int) -> MemoryRegion:
        """Keep one mapping, at most `limit` bytes of it."""
        if "r" not in mapping.perms:
            return _unread(self._space, mapping, "it is not readable")
        if self._unreadable:
            return _unread(self._space, mapping, self._unreadable)
        region = _region(self._space, mapping)
        name = f"{self._space.pid}-{mapping.start:x}-{mapping.end:x}.mem"
        output = BlockWriter(self._writer.dir, f"memory/{name}")
        try:
            with contextlib.suppress(_Gone):
                self._fill(mapping, region, output, limit)
            output.finish()
        except OSError as error:
            output.discard()
            region.extents, region.files = [], []
            full = error.errno in _FULL
            region.missing = "there is no room left on the disk" if full else error.strerror or str(error)
            return region
        except BaseException:
            output.discard()
            raise
        if output.size:
            region.file, region.size, region.hashes = f"memory/{name}", output.size, output.hashes
        self._extents_left -= len(region.extents) + len(region.files)
        return region

    def _fill(self, mapping: Mapping, region: MemoryRegion, output: BlockWriter, limit: int) -> None:
        private_file = mapping.path.startswith("/") and mapping.perms.endswith("p")
        shared = mapping.perms.endswith("s")
        reference = _Reference(mapping)
        for start, end, kept in self._units(mapping, shared, private_file):
            if kept:
                reference.close(region)
            elif not private_file:
                continue
            for at in range(start, end, _UNIT):
                size = min(_UNIT, end - at)
                if not kept:
                    data = self._read(region, at, size)
                    reference.add(at, data)
                    if len(data) < size:
                        reference.close(region)
                    continue
                if output.size + size > limit:
                    what = "the rest" if output.size else "it"
                    region.missing = f"{what} is left out: the limit of bytes for one capture is reached"
                    return
                data = self._read(region, at, size)
                if not data or _ZEROS.startswith(data):
                    continue
                last = region.extents[-1] if region.extents else None
                if last is not None and last.addr + last.size == at:
                    last.size += len(data)
                elif len(region.extents) >= self._extents_left:
                    region.missing = "the rest is left out: it is in too many pieces"
                    return
                else:
                    region.extents.append(MemoryExtent(addr=at, size=len(data), offset=output.size))
                output.write(data)
        reference.close(region)

    def _read(self, region: MemoryRegion, address: int, size: int) -> memoryview:
        """Return the bytes at a guest address, up to the first that cannot be read."""
        view = memoryview(self._scratch)[:size]
        try:
            count = os.preadv(self._memory, [view], self._space.base + address)
        except OSError as error:
            # Beyond the end of a file that was made shorter, or unmapped by somebody who shares the memory.
            region.missing = f"not all of it could be read: {error.strerror}"
            return view[:0]
        if count == 0:
            region.missing = "the process ended while its memory was read"
            raise _Gone
        if count < size:
            region.missing = "not all of it could be read"
        return view[:count]

    def _units(self, mapping: Mapping, shared: bool, private_file: bool) -> Iterator[tuple[int, int, bool]]:
        """Yield ranges (start, end, kept): `kept` ones may hold bytes of their own, the others hold none.

        Pages of shared memory may hold bytes that this process has not looked at.
        """
        if shared:
            yield mapping.start, mapping.end, True
            return
        begin, state = mapping.start, False
        for at, kept in self._own(mapping, private_file):
            if kept != state:
                if begin < at:
                    yield begin, at, state
                begin, state = at, kept
        if begin < mapping.end:
            yield begin, mapping.end, state

    def _own(self, mapping: Mapping, private_file: bool) -> Iterator[tuple[int, bool]]:
        """Yield for each unit its address and whether the process has pages of its own there."""
        first, last = (self._space.base + mapping.start) // _PAGE, (self._space.base + mapping.end) // _PAGE
        is_own = _is_own_of_file if private_file else _is_there
        address = mapping.start
        empty = bytes(_MAP_PIECE)
        at = first
        while at < last:
            count = min(_MAP_PIECE // 8, last - at)
            data = os.pread(self._pages, 8 * count, 8 * at)
            if len(data) < 8 * count:
                raise _Gone
            if empty.startswith(data):
                # Of gigabytes that were only reserved.
                yield address, False
                address += count * _PAGE
                at += count
                continue
            entries = array("Q", data)
            for index in range(0, count, _UNIT_PAGES):
                yield address, any(map(is_own, entries[index : index + _UNIT_PAGES]))
                address += _UNIT
            at += count


def _is_there(entry: int) -> bool:
    return bool(entry & (_PRESENT | _SWAPPED))


def _is_own_of_file(entry: int) -> bool:
    return bool(entry & (_PRESENT | _SWAPPED)) and not entry & _OF_FILE


class _Reference:
    """Bytes of a private file mapping that are still the file's: hashed, not kept."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._start = self._size = 0
        self._hash = hashlib.sha256()

    def add(self, address: int, data: memoryview) -> None:
        """Take in bytes that follow the ones before."""
        if not self._size:
            self._start, self._hash = address, hashlib.sha256()
        self._hash.update(data)
        self._size += len(data)

    def close(self, region: MemoryRegion) -> None:
        """Write down what was taken in."""
        if self._size:
            region.files.append(
                FileExtent(
                    addr=self._start,
                    size=self._size,
                    path=self._mapping.path,
                    offset=self._mapping.offset + self._start - self._mapping.start,
                    sha256=self._hash.hexdigest(),
                )
            )
        self._size = 0
