"""One recorded object in the memory pane: what it is for, its bytes, and what they mean beside or below."""

from __future__ import annotations

from triage_tui.text import number_of, safe_line
from triage_tui.ui.hex_rows import hex_row
from triage_tui.ui.memory_fields import Explanation
from triage_tui.ui.memory_sections import BESIDE, HEAD, MAX_MARKED, Layout, Place, side_by_side
from triage_tui.ui.rows import Part, Row, clip, short
from triage_tui.ui.run_view import MemoryText


class ObjectSection:
    """One recorded object."""

    def __init__(self, item: MemoryText, explanation: Explanation | None = None) -> None:
        self.item = item
        self._explanation = explanation
        self._layout = Layout(80, 16, 13)
        self._meaning_lines = len(explanation) if explanation is not None else 0
        self._meaning_width = 80
        self._bytes_lines, self._beside = 1, False

    @property
    def end(self) -> int:
        """The address behind its last byte."""
        return self.item.entry.addr + len(self.item.data)

    def lay(self, layout: Layout) -> int:
        """Count its rows: two of words, the bytes or why there are none, and what they mean."""
        self._layout = layout
        self._bytes_lines = max(1, -(-len(self.item.data) // layout.bytes))
        room = layout.width - layout.bytes_end
        self._beside = room >= BESIDE
        self._meaning_width = room if self._beside else layout.width
        if self._beside:
            return HEAD + max(self._bytes_lines, self._meaning_lines)
        return HEAD + self._bytes_lines + self._meaning_lines

    def row(self, line: int) -> Row:
        """Return the title, the purpose, or a row of bytes."""
        if line < HEAD:
            return self._purpose() if line else self._title()
        line -= HEAD
        if not self._beside:
            return self._bytes(line) if line < self._bytes_lines else self._meant(line - self._bytes_lines)
        left = self._bytes(line) if line < self._bytes_lines else Row((), (self.item.entry.id, 0))
        return (
            side_by_side(left, self._meant(line), self._layout.bytes_end)
            if line < self._meaning_lines
            else left
        )

    def _meant(self, line: int) -> Row:
        return self._explanation.row(line, self._meaning_width) if self._explanation is not None else Row(())

    def _bytes(self, line: int) -> Row:
        item, entry, layout = self.item, self.item.entry, self._layout
        offset = line * layout.bytes
        if offset < len(item.data):
            row = hex_row(item.data, offset, entry.addr, layout.bytes, layout.prefix)
            return row._replace(target=(entry.id, offset))
        return Row((("   ", ""), (safe_line(item.problem or "empty", 300), "warn")), target=(entry.id, 0))

    def place(self, line: int) -> Place:
        """Return what a row stands for."""
        if line < HEAD:
            return Place(-1, line)
        line -= HEAD
        if line < self._bytes_lines:
            return Place(0, -1, line * self._layout.bytes)
        return Place(1, line if self._beside else line - self._bytes_lines)

    def line(self, place: Place) -> int:
        """Return the row that stands for that now."""
        if place.segment < 0:
            return place.line
        if place.segment == 0:
            return HEAD + place.offset // self._layout.bytes
        last = HEAD + max(self._bytes_lines, self._meaning_lines) - 1
        return (
            min(HEAD + place.line, last) if self._beside else min(self._below + place.line, self._below_end)
        )

    @property
    def _below(self) -> int:
        return HEAD + self._bytes_lines

    @property
    def _below_end(self) -> int:
        return max(HEAD, self._below + self._meaning_lines - 1)

    def address(self, place: Place) -> int | None:
        """Return the address of a row's first byte."""
        return None if place.line >= 0 else self.item.entry.addr + place.offset

    def span(self, address: int, length: int) -> list[tuple[int, int]]:
        """Return where the bytes of a part of the object are."""
        first = address - self.item.entry.addr
        last = min(first + max(1, min(length, MAX_MARKED)), len(self.item.data))
        count = self._layout.bytes
        return [(HEAD + place // count, place % count) for place in range(max(0, first), last)]

    def _title(self) -> Row:
        entry, width = self.item.entry, self._layout.width
        size = entry.blob.size if entry.blob else 0
        parts: list[Part] = [
            (" ", ""),
            (clip(short(entry.tag or entry.id, 60), max(10, width // 2)), "heading"),
            (f"  {entry.addr:#010x}", "address"),
            (f"  {number_of(size, 'byte')}", "muted"),
        ]
        if self._explanation is not None and self._explanation.secret:
            parts.append(("  holds what looks like a secret", "warn"))
        if entry.source:
            parts += [("  ", ""), (clip(short(entry.source, 80), max(8, width // 3)), "muted")]
        return Row(tuple(parts), target=(entry.id, None), fill="section")

    def _purpose(self) -> Row:
        entry, width = self.item.entry, self._layout.width
        parts: list[Part] = [("   ", ""), (clip(safe_line(entry.purpose, 200), width - 4), "muted")]
        if entry.string:
            used = sum(len(text) for text, _ in parts)
            if width - used > 12:
                text = clip(f'"{safe_line(entry.string, 200)}"', width - used - 3)
                parts += [("  ", ""), (text, "string")]
        return Row(tuple(parts), target=(entry.id, None))
