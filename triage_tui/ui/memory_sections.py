"""What the memory pane shows: recorded objects and kept regions, each row made when it is drawn.

A region is as long as it was in the guest. What was never written is one row until it is opened; other bytes
are asked of `MemoryPages`, which may not have them yet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from rich.cells import cell_len

from triage_tui.runs.memory_model import MemoryRegion
from triage_tui.text import safe_line
from triage_tui.ui.hex_rows import hex_row
from triage_tui.ui.kept_memory import MemoryPages, Segment, segment_at, segments_of
from triage_tui.ui.rows import BLANK, Part, Row, clip, short

BESIDE = 46
"""Cells that the meaning of the bytes needs to stand beside them."""
HEAD = 2
"""Rows above the bytes of an object or a region: what it is, and what for."""
MAX_MARKED = 4096
"""Bytes that are highlighted at once."""


_SAYS = {"kept": "kept", "file": "as in a file", "zero": "zeros", "missing": "unknown"}
"""Kinds of segments in words."""


class At(NamedTuple):
    """What a row of bytes stands for: its first address, in which process, and the name of the region."""

    pid: int | None
    address: int
    name: str


class Layout(NamedTuple):
    """How wide things are: cells of the view, bytes on a row, cells in front of them."""

    width: int
    bytes: int
    prefix: int

    @property
    def bytes_end(self) -> int:
        """The cell behind the bytes and their text."""
        return self.prefix + self.bytes * 3 - 1 + (self.bytes - 1) // 8 + 2 + self.bytes


class Place(NamedTuple):
    """What a row of a section stands for, however wide it is."""

    segment: int
    """Number of the segment; -1 for the rows above all bytes."""
    line: int
    """Which of the rows of words, or -1 for a row of bytes."""
    offset: int = 0
    """Of a row of bytes: how far its first byte is into the segment."""


class Section(Protocol):
    """Rows that belong together."""

    @property
    def end(self) -> int:
        """The address behind the last byte."""

    def lay(self, layout: Layout) -> int:
        """Return the number of rows for this layout."""

    def row(self, line: int) -> Row:
        """Return one of them."""

    def place(self, line: int) -> Place:
        """Return what a row stands for."""

    def line(self, place: Place) -> int:
        """Return the row that stands for that now."""

    def address(self, place: Place) -> int | None:
        """Return the address of a row's first byte, or None if it is a row of words."""

    def span(self, address: int, length: int) -> list[tuple[int, int]]:
        """Return (line, first byte's place on it) of each of the bytes from `address` on."""


@dataclass
class RegionSection:
    """One region of kept memory."""

    number: int
    region: MemoryRegion
    pages: MemoryPages
    also: str = ""
    """Its name where the dump had none: that of a thread's stack is known later."""
    opened: set[int] = field(default_factory=set)
    """Addresses of the stretches of zeros that are shown byte by byte."""
    meaning: Callable[[int, bytes, int], Row] | None = None
    """Says what bytes at an address mean, in so many cells."""

    def __post_init__(self) -> None:
        self.segments = segments_of(self.region)
        self._starts: list[int] = []
        self._layout = Layout(80, 16, 13)
        self.name = short(self.region.name or self.also or "anonymous", 200)

    @property
    def end(self) -> int:
        """The address behind its last byte."""
        last = self.segments[-1] if self.segments else None
        return last.addr + last.size if last else max(0, self.region.end)

    def _lines(self, segment: Segment) -> int:
        body = -(-segment.size // self._layout.bytes)
        match segment.kind:
            case "zero":
                return body if segment.addr in self.opened else 1
            case "missing":
                return 1
            case "file":
                return 1 + body
            case _:
                return body

    def lay(self, layout: Layout) -> int:
        """Count its rows."""
        self._layout = layout
        self._starts, line = [], HEAD
        for segment in self.segments:
            self._starts.append(line)
            line += self._lines(segment)
        return line

    def row(self, line: int) -> Row:
        """Return the title, what it is made of, or a row of a segment."""
        if line < HEAD:
            return self._made_of() if line else self._title()
        index = bisect_right(self._starts, line) - 1
        if index < 0:
            return BLANK
        segment = self.segments[index]
        line -= self._starts[index]
        if segment.kind == "file":
            if line == 0:
                return self._words(segment, f"the same as {segment.note}", "muted")
            line -= 1
        elif segment.kind == "missing":
            return self._words(segment, f"{_amount(segment.size)} not kept: {segment.note}", "warn")
        elif segment.kind == "zero" and segment.addr not in self.opened:
            return self._words(segment, f"{_amount(segment.size)} of zeros", "faint")
        return self._bytes(segment, line * self._layout.bytes)

    def _bytes(self, segment: Segment, offset: int) -> Row:
        count, prefix = self._layout.bytes, self._layout.prefix
        address = segment.addr + offset
        found = self.pages.peek(self.number, segment, address, min(count, segment.size - offset))
        if isinstance(found, bytes) and found:
            row = hex_row(found, 0, address, count, prefix)
            room = self._layout.width - self._layout.bytes_end - 1
            if self.meaning is not None and room >= BESIDE and any(found):
                row = side_by_side(row, self.meaning(address, found, room), self._layout.bytes_end + 1)
        else:
            text, role = ("…", "faint") if found is None else (safe_line(found or "nothing", 300), "warn")
            where = f"{address:08x}".rjust(prefix - 2) + "  "
            row = Row(((where, "address"), (clip(text, self._layout.width - prefix), role)))
        return row._replace(target=At(self.region.pid, address, self.name))

    def _words(self, segment: Segment, text: str, role: str) -> Row:
        where = f"{segment.addr:08x}".rjust(self._layout.prefix - 2) + "  "
        shown = clip(safe_line(text, 300), max(8, self._layout.width - len(where)))
        return Row(((where, "address"), (shown, role)), target=At(self.region.pid, segment.addr, self.name))

    def _title(self) -> Row:
        region, width = self.region, self._layout.width
        parts: list[Part] = [
            (" ", ""),
            (clip(short(self.name, 60), max(10, width // 2)), "heading"),
            (f"  {region.start:#010x}", "address"),
            (f"  {short(region.perms, 6)}", "muted"),
            (f"  process {region.pid}", "muted"),
        ]
        return Row(tuple(parts), target=At(region.pid, region.start, self.name), fill="section")

    def _made_of(self) -> Row:
        region = self.region
        total = dict.fromkeys(("kept", "file", "zero", "missing"), 0)
        for segment in self.segments:
            total[segment.kind] += segment.size
        words = [f"{_amount(max(0, region.end - region.start))} to {region.end:#x}"]
        for kind, says in _SAYS.items():
            if total[kind]:
                words.append(f"{_amount(total[kind])} {says}")
        text = clip(f"   {words[0]}: {', '.join(words[1:])}", self._layout.width - 1)
        return Row(((text, "muted"),), target=At(region.pid, region.start, self.name))

    def place(self, line: int) -> Place:
        """Return what a row stands for."""
        index = bisect_right(self._starts, line) - 1
        if line < HEAD or index < 0:
            return Place(-1, line)
        segment, line = self.segments[index], line - self._starts[index]
        if self._lines(segment) == 1 or (segment.kind == "file" and line == 0):
            return Place(index, 0)
        return Place(index, -1, (line - (segment.kind == "file")) * self._layout.bytes)

    def line(self, place: Place) -> int:
        """Return the row that stands for that now."""
        if place.segment < 0:
            return place.line
        top = self._starts[place.segment]
        if place.line >= 0:
            return top
        return top + (self.segments[place.segment].kind == "file") + place.offset // self._layout.bytes

    def address(self, place: Place) -> int | None:
        """Return the address of a row's first byte."""
        return None if place.segment < 0 else self.segments[place.segment].addr + place.offset

    def span(self, address: int, length: int) -> list[tuple[int, int]]:
        """Return where bytes are; those of one segment at most, as the next may be elsewhere."""
        index = segment_at(self.segments, address)
        if index is None or self.segments[index].kind == "missing":
            return []
        segment, count = self.segments[index], self._layout.bytes
        first = address - segment.addr
        last = min(first + max(1, min(length, MAX_MARKED)), segment.size)
        top = self._starts[index] + (segment.kind == "file")
        return [(top + place // count, place % count) for place in range(first, last)]

    def missing(self, address: int) -> str | None:
        """Return why the byte at an address of this region was not kept, or None if it was."""
        index = segment_at(self.segments, address)
        if index is None:
            return "the region is too large to be shown"
        return self.segments[index].note if self.segments[index].kind == "missing" else None

    def zeros_at(self, address: int) -> int | None:
        """Return the start of the stretch of zeros that holds `address`."""
        index = segment_at(self.segments, address)
        if index is None or self.segments[index].kind != "zero":
            return None
        return self.segments[index].addr


def _amount(size: int) -> str:
    """Return a number of bytes as people write it: "12 KiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size = size // 1024 if size % 1024 == 0 else size / 1024  # type: ignore[assignment]
    return f"{size:.4g} TiB"


def side_by_side(left: Row, right: Row, start: int) -> Row:
    """Return two rows in one; the right one begins at cell `start`."""
    used = sum(cell_len(text) for text, _ in left.parts)
    links = tuple((first + start, end + start, link) for first, end, link in right.links)
    gap = (" " * max(0, start - used), "")
    return Row((*left.parts, gap, *right.parts), left.target, left.fill, (*left.links, *links))
