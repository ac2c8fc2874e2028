"""Give a guest that has only just been started the memory of a checkpoint."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.checkpoint.injecting import CallFailed, Injector, protection
from triage_tui.guest.checkpoint.model import PAGE, Checkpoint, PageRun
from triage_tui.guest.checkpoint.taking_memory import own_pages
from triage_tui.guest.checkpoint.writing import PAGES_FILE
from triage_tui.guest.host import process
from triage_tui.runs.process_model import Mapping
from triage_tui.text import safe_line

_AT_FDCWD = -100
_O_RDWR = 2
_BLOCK = 1 << 20
_PLACES_32 = range(0x70000000, 0x10000, -0x1000000)
_PLACES_64 = range(0x3000000000, 0x10000000, -0x10000000)
_ZEROS = bytes(PAGE)
_VDSO = "[vdso]"

Range = tuple[int, int]


def free_page(word: int, spaces: Iterable[Iterable[Mapping]]) -> int:
    """Return a page that lies in none of the address spaces, nor next to a mapping that may grow.

    Raises:
        TriageError: there is none.
    """
    taken = [(area.start - (1 << 20), area.end + (1 << 20)) for areas in spaces for area in areas]
    for page in _PLACES_32 if word == 4 else _PLACES_64:
        if not any(start <= page < end for start, end in taken):
            return page
    raise TriageError("there is no room left in its address space for the calls that restore it")


class MemoryRestorer:
    """Restores the memory of one guest."""

    def __init__(
        self, pid: int, base: int, checkpoint: Checkpoint, directory: Path, injector: Injector
    ) -> None:
        """`base` is the host address of guest address 0."""
        self._pid = pid
        self._base = base
        self._checkpoint = checkpoint
        self._directory = directory
        self._injector = injector
        self._open = ("", -1, False)
        """Path, descriptor and access of the file that was mapped last."""

    def check_heap(self) -> None:
        """Let the heap end where it did.

        Raises:
            TriageError: it begins elsewhere.
        """
        begin, end = self._checkpoint.heap
        if (begin, end) == (0, 0):
            return
        now = self._injector.call("brk", 0)
        mask = self._injector.arch.word_mask
        if now & mask != begin:
            raise TriageError(
                f"its heap begins at 0x{now & mask:x} in a new process, and began at 0x{begin:x}"
            )
        # A heap that became smaller keeps its memory in the emulator, which fills it with zeros when it grows
        # again as long as it knows of it.
        for size in (_end_of_chain(self._checkpoint.areas, end), end):
            if self._injector.call("brk", size) & mask != size:
                raise TriageError("its heap cannot be made as large as it was")

    def restore(self, fresh: list[Mapping]) -> None:
        """Make mappings and memory those of the checkpoint; `fresh` are those that the guest has now.

        Raises:
            TriageError: a mapping cannot be had again.
            OSError: memory or images cannot be read or written.
        """
        self._check_places(fresh)
        own = set(self._checkpoint.facts.emulator_pages)
        there = [area for area in fresh if area.start not in own]
        wanted = [area for area in self._checkpoint.areas if area.start not in own]
        kept = list(_kept(wanted, there))
        # Its new emulator has handlers of signals return through the one that it has put there now.
        self.take_away((area for area in there if area.name != _VDSO), wanted)
        for area in wanted:
            for start, end in _without([(area.start, area.end)], [one for one, _ in kept]):
                self._map(area, start, end)
        self._close()
        self._clear([one for one, _ in kept if not one.path])
        self._write(self._checkpoint.pages)
        for one, before in kept:
            if one.perms[:3] != before[:3]:
                self._injector.call("mprotect", one.start, one.end - one.start, protection(one.perms))

    def take_away(self, there: Iterable[Mapping], wanted: Iterable[Mapping]) -> None:
        """Have what is there, and lies in none of the wanted mappings, mapped no more.

        Raises:
            TriageError: it cannot be.
        """
        for start, end in _without([(area.start, area.end) for area in there], wanted):
            self._injector.call("munmap", start, end - start)

    def _check_places(self, fresh: list[Mapping]) -> None:
        """Check that what the emulator itself has in the way is what it had then.

        Raises:
            TriageError: it is not.
        """
        starts = {area.start for area in fresh}
        lacking = [page for page in self._checkpoint.facts.emulator_pages if page not in starts]
        if lacking:
            raise TriageError(
                f"the emulator has not put its own page at 0x{lacking[0]:x} this time: try again"
            )
        if self._injector.arch.word == 4:
            return
        # From 8.1 on QEMU does not choose where its vDSO lies, the host does.
        guests = [(area.start, area.end) for area in fresh if area.name != _VDSO]
        vdso = [(area.start, area.end) for area in self._checkpoint.areas if area.name == _VDSO]
        for mapping in process.read_maps(self._pid):
            start, end = mapping.start - self._base, mapping.end - self._base
            if mapping.perms.startswith("---") or any(low <= start < high for low, high in (*guests, *vdso)):
                continue
            for area in self._checkpoint.areas:
                if area.start < end and start < area.end and not _is_inside((start, end), guests):
                    raise TriageError(
                        f"the emulator itself lies where the mapping at 0x{area.start:x} belongs: try again"
                    )

    def _map(self, area: Mapping, start: int, end: int) -> None:
        shared = area.perms.endswith("s")
        try:
            if not area.path:
                self._injector.map(start, end - start, area.perms, shared=shared)
                return
            fd = self._file(area.path, shared and "w" in area.perms)
            offset = area.offset + start - area.start
            self._injector.map(start, end - start, area.perms, fd, offset, shared)
        except CallFailed as error:
            what = safe_line(area.path, 100) or "memory"
            raise TriageError(f"{what} cannot be mapped at 0x{start:x} again: {error}") from None

    def _file(self, path: str, writes: bool) -> int:
        if self._open[0] == path and self._open[2] == writes:
            return self._open[1]
        self._close()
        place = self._injector.put(os.fsencode(path) + b"\0")
        fd = self._injector.call("openat", _AT_FDCWD, place, _O_RDWR if writes else 0, 0)
        self._open = path, fd, writes
        return fd

    def _close(self) -> None:
        if self._open[1] >= 0:
            self._injector.call("close", self._open[1])
        self._open = "", -1, False

    def _clear(self, areas: list[Mapping]) -> None:
        """Fill with zeros what a new process has in memory that is kept, and the checkpoint has not."""
        starts = [run.start for run in self._checkpoint.pages]
        with (
            open(f"/proc/{self._pid}/mem", "r+b", buffering=0) as memory,
            open(f"/proc/{self._pid}/pagemap", "rb") as table,
        ):
            for area in areas:
                for start, end in own_pages(table, self._base, area, whole=False):
                    for page in range(start, end, PAGE):
                        index = bisect_right(starts, page) - 1
                        run = self._checkpoint.pages[index] if index >= 0 else None
                        if run is None or page >= run.start + run.count * PAGE:
                            os.pwrite(memory.fileno(), _ZEROS, self._base + page)

    def _write(self, runs: Iterable[PageRun]) -> None:
        with (
            open(f"/proc/{self._pid}/mem", "r+b", buffering=0) as memory,
            open(self._directory / PAGES_FILE, "rb", buffering=0) as pages,
        ):
            for run in runs:
                left, at = run.count * PAGE, 0
                while left:
                    data = os.pread(pages.fileno(), min(left, _BLOCK), run.offset + at)
                    written = os.pwrite(memory.fileno(), data, self._base + run.start + at) if data else 0
                    if not written:
                        raise TriageError(f"memory at 0x{run.start + at:x} cannot be written")
                    left -= written
                    at += written


def _end_of_chain(areas: Iterable[Mapping], end: int) -> int:
    """Return where the memory of no file that a heap up to `end` lies in, or that follows it, ends."""
    found = end
    for area in areas:
        if area.start <= found + PAGE - 1 and area.end > found:
            if area.path or area.perms != "rw-p" or area.name == "[stack]":
                break
            found = area.end
    return found


def _is_inside(part: Range, ranges: Iterable[Range]) -> bool:
    return any(start <= part[0] and part[1] <= end for start, end in ranges)


def _kept(wanted: list[Mapping], there: list[Mapping]) -> Iterator[tuple[Mapping, str]]:
    """Yield the parts of wanted mappings that are there already, and what may be done with them now."""
    for area in wanted:
        if area.perms.endswith("s"):
            continue
        for other in there:
            start, end = max(area.start, other.start), min(area.end, other.end)
            if start >= end or area.path != other.path or other.perms.endswith("s"):
                continue
            if area.path and area.offset - area.start != other.offset - other.start:
                continue
            offset = area.offset + start - area.start if area.path else 0
            part = Mapping(start=start, end=end, perms=area.perms, offset=offset, path=area.path)
            yield part, other.perms


def _without(ranges: Iterable[Range], others: Iterable[Mapping]) -> Iterator[Range]:
    """Yield what is left of the ranges where none of the mappings, which do not overlap, lies."""
    ordered = sorted((other.start, other.end) for other in others)
    for start, end in ranges:
        at = start
        for low, high in ordered:
            if high <= at or low >= end:
                continue
            if low > at:
                yield at, low
            at = max(at, high)
        if at < end:
            yield at, end
