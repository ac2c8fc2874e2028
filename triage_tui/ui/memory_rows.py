"""The rows of the memory pane: recorded objects, then kept regions, one below the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from triage_tui.ui.hex_rows import bytes_in_cells, bytes_per_row, hex_cells
from triage_tui.ui.memory_objects import ObjectSection
from triage_tui.ui.memory_sections import Layout, Place, RegionSection, Section
from triage_tui.ui.rows import BLANK, Marks, Row, Rows


class MemoryRows(Rows):
    """Objects and regions one below the other."""

    def __init__(self, objects: Sequence[ObjectSection], regions: Sequence[RegionSection]) -> None:
        self.objects = list(objects)
        self.regions = list(regions)
        self._sections: list[Section] = [*self.objects, *self.regions]
        longest = max((len(f"{section.end:x}") for section in self._sections), default=0)
        self.prefix = max(11, longest + 1) + 2
        self._starts: list[int] = []
        self._total = 0
        self._width, self._bytes = 80, 16
        self.layout(80)

    def layout(self, width: int) -> None:
        """Count the rows for this width."""
        self._width, self._bytes = width, bytes_per_row(width, self.prefix)
        layout = Layout(width, self._bytes, self.prefix)
        self._starts, row = [], 0
        for section in self._sections:
            self._starts.append(row)
            row += section.lay(layout) + 1
        self._total = max(0, row - 1)

    def relayout(self, width: int, cursor: int, marks: Marks) -> tuple[int, Marks]:
        """Lay out for a new width; the cursor and the marks stay on their bytes."""
        before, on_mark = self._bytes, cursor in marks
        places = {index: self._place(index) for index in [cursor, *marks] if 0 <= index < self._total}
        self.layout(width)
        found: Marks = {}
        for index, span in marks.items():
            if index not in places:
                continue
            number, place = places[index]
            section = self._sections[number]
            address = section.address(place)
            if span is None or address is None:
                found[self._starts[number] + section.line(place)] = span
                continue
            wanted = bytes_in_cells(span, before, self.prefix)
            for row, cells in self.spans(section, address + wanted.start, len(wanted)).items():
                known = found.get(row)
                found[row] = (min(known[0], cells[0]), max(known[1], cells[1])) if known and cells else cells
        if cursor in places:
            number, place = places[cursor]
            cursor = self._starts[number] + self._sections[number].line(place)
        return (min(found) if on_mark and found else cursor), found

    def _place(self, index: int) -> tuple[int, Place]:
        number = max(0, bisect_right(self._starts, index) - 1)
        return number, self._sections[number].place(index - self._starts[number])

    def __len__(self) -> int:
        return self._total

    def row(self, index: int) -> Row:
        """Return one row of one section, or the empty one below it."""
        number = bisect_right(self._starts, index) - 1
        if index > self.ends(index)[1]:
            return BLANK
        return self._sections[number].row(index - self._starts[number])

    def ends(self, index: int) -> tuple[int, int]:
        """Return the first and the last row of the section that holds row `index`."""
        number = max(0, bisect_right(self._starts, index) - 1)
        behind = self._starts[number + 1] if number + 1 < len(self._starts) else self._total + 1
        return (self._starts[number] if self._starts else 0), max(0, behind - 2)

    def start(self, section: Section) -> int:
        """Return the row at which a section begins."""
        return self._starts[self._sections.index(section)]

    def region_at(self, pid: int | None, address: int) -> RegionSection | None:
        """Return the region of a process that holds an address."""
        for section in self.regions:
            if section.region.pid == pid and section.region.start <= address < section.region.end:
                return section
        return None

    def open_zeros(self, section: RegionSection, address: int) -> bool:
        """Show the stretch of zeros around an address byte by byte; False when there is none or it is."""
        zeros = section.zeros_at(address)
        if zeros is None or zeros in section.opened:
            return False
        section.opened.add(zeros)
        self.layout(self._width)
        return True

    def spans(self, section: Section, address: int, length: int) -> Marks:
        """Return row to cells of the bytes from `address` on."""
        start = self.start(section)
        found: Marks = {}
        for line, place in section.span(address, length):
            first, end = hex_cells(place, self.prefix)
            known = found.get(start + line)
            found[start + line] = (known[0], end) if known else (first, end)
        return found
