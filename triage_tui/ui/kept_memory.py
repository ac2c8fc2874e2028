"""Kept memory for the views: how a region is made up, and its bytes, read page by page and never whole."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from triage_tui.errors import TriageError
from triage_tui.runs.memory_files import RegionReader
from triage_tui.runs.memory_model import FileExtent, MemoryExtent, MemoryRegion

PAGE = 16 << 10
"""Bytes that are read at once."""
KEPT_PAGES = 256
"""Pages that are remembered."""
MAX_REGIONS = 4096
MAX_REGION_BYTES = 1 << 40
"""Most that is laid out of one region: what a reader on the other side would scroll through for years."""
ADDRESS_END = 1 << 64

PageKey = tuple[int, int]
"""Number of the region, and address of the page's first byte."""


class Segment(NamedTuple):
    """A stretch [addr, addr + size) of a region whose bytes come from one place."""

    addr: int
    size: int
    kind: Literal["kept", "file", "zero", "missing"]
    """`kept`: in the run; `file`: those of a file of the guest; `zero`: never written; `missing`: unknown."""
    note: str = ""
    """Of a `file`: its path and offset. Of what is `missing`: why. Untrusted text."""


def segments_of(region: MemoryRegion) -> list[Segment]:
    """Return what a region is made up of, by address and without gaps, however odd its index is."""
    at = max(0, region.start)
    end = min(region.end, ADDRESS_END, at + MAX_REGION_BYTES)
    empty: Literal["zero", "missing"] = "missing" if region.missing else "zero"
    why = region.missing or ""
    found: list[Segment] = []
    pieces: list[MemoryExtent | FileExtent] = [*region.extents, *region.files]
    for piece in sorted(pieces, key=lambda piece: piece.addr):
        stop = min(piece.addr + piece.size, end)
        if piece.addr < at or stop <= piece.addr:
            continue  # Overlapping, empty or outside: no writer makes these.
        if piece.addr > at:
            found.append(Segment(at, piece.addr - at, empty, why))
        if isinstance(piece, FileExtent):
            note = f"{piece.path} from {piece.offset:#x} on"
            found.append(Segment(piece.addr, stop - piece.addr, "file", note))
        else:
            found.append(Segment(piece.addr, stop - piece.addr, "kept"))
        at = stop
    if at < end:
        found.append(Segment(at, end - at, empty, why))
    return found


def segment_at(segments: Sequence[Segment], address: int) -> int | None:
    """Return the index of the segment that holds `address`, or None."""
    index = bisect_right(segments, address, key=lambda segment: segment.addr) - 1
    if index < 0 or address >= segments[index].addr + segments[index].size:
        return None
    return index


class MemoryPages:
    """Pages of the kept memory of one run. Views peek and note what they lack; a worker thread reads it."""

    def __init__(self, readers: Sequence[RegionReader]) -> None:
        self._readers = readers
        self._pages: OrderedDict[PageKey, bytes | str] = OrderedDict()
        self._wanted: dict[PageKey, int] = {}

    @property
    def wanting(self) -> bool:
        """Whether pages were asked for that are not there."""
        return bool(self._wanted)

    def peek(self, region: int, segment: Segment, address: int, size: int) -> bytes | str | None:
        """Return bytes of a segment, a sentence that says why there are none, or None: not read yet."""
        if segment.kind == "zero":
            return bytes(size)
        found = b""
        while size > 0:
            start = segment.addr + (address - segment.addr) // PAGE * PAGE
            key = region, start
            page = self._pages.get(key)
            if page is None:
                self._wanted[key] = min(PAGE, segment.addr + segment.size - start)
                return None
            self._pages.move_to_end(key)
            if isinstance(page, str):
                return page
            piece = page[address - start : address - start + size]
            if not piece:
                return found
            found, address, size = found + piece, address + len(piece), size - len(piece)
        return found

    def take_wanted(self) -> dict[PageKey, int]:
        """Return the pages to read (with their sizes), newest last, and forget that they were wanted."""
        wanted = dict(list(self._wanted.items())[-KEPT_PAGES // 4 :])
        self._wanted.clear()
        return wanted

    def read(self, wanted: dict[PageKey, int]) -> dict[PageKey, bytes | str]:
        """Read pages from the disk; for a worker thread, of which one at a time may do this."""
        found: dict[PageKey, bytes | str] = {}
        for (region, address), size in wanted.items():
            try:
                found[region, address] = self._readers[region].read(address, size)
            except TriageError as error:
                found[region, address] = str(error)
            except (OSError, ValueError, OverflowError) as error:
                found[region, address] = f"the memory at {address:#x} cannot be read ({type(error).__name__})"
        return found

    def keep(self, found: dict[PageKey, bytes | str]) -> None:
        """Remember pages that were read, the newest `KEPT_PAGES`."""
        self._pages.update(found)
        while len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)
