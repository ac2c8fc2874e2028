"""The memory pane: the recorded memory objects, each with its purpose, in hex and text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from triage_tui.runs.evidence import Link
from triage_tui.text import safe_line
from triage_tui.ui.loading import MemoryText, RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import BLANK, Part, Row, Rows, clip, short

_HEAD = 2


def prefix_cells(objects: Sequence[MemoryText]) -> int:
    """Return the cells that the address column takes: enough for the longest address and its margins."""
    return max([11, *(len(f"{item.entry.addr + len(item.data):x}") + 1 for item in objects)]) + 2


def bytes_per_row(width: int, prefix: int = 13) -> int:
    """Return 16, 8 or 4: as many bytes as fit beside an address and their text."""
    for count in (16, 8):
        if prefix + count * 3 - 1 + (count - 1) // 8 + 2 + count <= width:
            return count
    return 4


def hex_cells(index: int, prefix: int = 13) -> tuple[int, int]:
    """Return the cells [first, behind last) of byte `index` of a row in the hex columns."""
    first = prefix + index * 3 + index // 8
    return first, first + 2


def hex_row(data: bytes, offset: int, address: int, count: int, prefix: int = 13) -> Row:
    """Return `count` bytes at `offset`: address, hex in groups of eight, printable text."""
    chunk = data[offset : offset + count]
    parts: list[Part] = [(f"{address + offset:08x}".rjust(prefix - 2) + "  ", "address")]
    for index in range(count):
        gap = "" if index == 0 else " " if index % 8 else "  "
        if index < len(chunk):
            byte = chunk[index]
            role = "faint" if byte == 0 else "string" if 0x20 <= byte < 0x7F else "number"
            parts.append((f"{gap}{byte:02x}", role))
        else:
            parts.append((gap + "  ", ""))
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in chunk)
    return Row((*parts, ("  ", ""), (text, "string")), target=("byte", offset))


class MemoryRows(Rows):
    """Objects one below the other: a title, a purpose, then hex rows made as they are drawn."""

    def __init__(self, objects: list[MemoryText]) -> None:
        self.objects = objects
        self.count = 16
        self.prefix = prefix_cells(objects)
        self._starts: list[int] = []
        self._total = 0
        self._width = 80
        self.layout(80)

    def layout(self, width: int) -> None:
        """Count the rows for this width."""
        self._width = width
        self.count = bytes_per_row(width, self.prefix)
        self._starts, row = [], 0
        for entry in self.objects:
            self._starts.append(row)
            body = 1 if entry.problem and not entry.data else -(-len(entry.data) // self.count)
            row += _HEAD + max(1, body) + 1
        self._total = max(0, row - 1)

    def __len__(self) -> int:
        return self._total

    def start(self, index: int) -> int:
        """Return the row at which object `index` begins."""
        return self._starts[index]

    def row(self, index: int) -> Row:
        """Return the title, purpose, or hex row at `index`."""
        number = bisect_right(self._starts, index) - 1
        entry = self.objects[number]
        line = index - self._starts[number]
        if line == 0:
            return self._title(entry)
        if line == 1:
            return self._purpose(entry)
        offset = (line - _HEAD) * self.count
        if offset < len(entry.data):
            row = hex_row(entry.data, offset, entry.entry.addr, self.count, self.prefix)
            return row._replace(target=(entry.entry.id, offset))
        if line == _HEAD:
            return Row(
                (("   ", ""), (safe_line(entry.problem or "empty", 300), "warn")), target=(entry.entry.id, 0)
            )
        return BLANK

    def _title(self, item: MemoryText) -> Row:
        entry = item.entry
        size = entry.blob.size if entry.blob else 0
        parts: list[Part] = [
            (" ", ""),
            (clip(short(entry.tag or entry.id, 60), max(10, self._width // 2)), "heading"),
            (f"  {entry.addr:#010x}", "address"),
            (f"  {size} bytes", "muted"),
        ]
        if entry.source:
            parts += [("  ", ""), (clip(short(entry.source, 80), max(8, self._width // 3)), "muted")]
        return Row(tuple(parts), target=(entry.id, None), fill="section")

    def _purpose(self, item: MemoryText) -> Row:
        entry = item.entry
        parts: list[Part] = [("   ", ""), (clip(safe_line(entry.purpose, 200), self._width - 4), "muted")]
        if entry.string:
            used = sum(len(text) for text, _ in parts)
            if self._width - used > 12:
                parts += [
                    ("  ", ""),
                    (clip(f'"{safe_line(entry.string, 200)}"', self._width - used - 3), "string"),
                ]
        return Row(tuple(parts), target=(entry.id, None))


def _holding(objects: Sequence[MemoryText], link: Link) -> tuple[int | None, int]:
    """Return which object shows the bytes of a link to kept memory, `[<pid>@]0x<address>`, and where."""
    pid, _, text = link.id.rpartition("@")
    try:
        address = int(text, 16) + (link.offset or 0)
    except ValueError:
        return None, 0
    for number, item in enumerate(objects):
        owner, at, _ = item.entry.id.partition("@")
        if at and pid in ("", owner) and item.entry.addr <= address < item.entry.addr + len(item.data):
            return number, address - item.entry.addr
    return None, 0


class MemoryPane(Pane):
    """Recorded memory."""

    NAME: ClassVar[str] = "memory"
    KINDS: ClassVar[tuple[str, ...]] = ("mem",)
    EMPTY: ClassVar[str] = "No memory was recorded."

    def build(self, view: RunView) -> Rows:
        """Return the memory objects as rows."""
        return MemoryRows(view.memory)

    def reveal(self, link: Link) -> bool:
        """Go to an object, and to a range of its bytes when the link has one."""
        rows = self.rows
        if not isinstance(rows, MemoryRows):
            return False
        number = next((n for n, item in enumerate(rows.objects) if item.entry.id == link.id), None)
        offset = link.offset
        if number is None:
            number, offset = _holding(rows.objects, link)
        if number is None:
            return False
        start = rows.start(number)
        if offset is None:
            self.mark(start)
            return True
        spans: dict[int, tuple[int, int] | None] = {}
        last = min(offset + max(1, link.length or 1), len(rows.objects[number].data), offset + 4096)
        for place in range(offset, last):
            row = start + _HEAD + place // rows.count
            first, end = hex_cells(place % rows.count, rows.prefix)
            known = spans.get(row)
            spans[row] = (known[0], end) if known else (first, end)
        self.mark_spans(spans)
        return bool(spans)
