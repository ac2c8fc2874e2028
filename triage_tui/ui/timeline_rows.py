"""The rows of a timeline: calls, and below each what it printed; each row is made when it is drawn."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from triage_tui.ui.call_rows import Timeline, call_row, output_row
from triage_tui.ui.rows import Row, Rows


class TimelineRows(Rows):
    """`places` (ascending) of the calls of `line` as rows, with or without their output.

    Nothing is made for a call without output, so that a hundred thousand calls cost as much as ten.
    """

    def __init__(self, line: Timeline, places: Sequence[int], with_output: bool) -> None:
        self.line = line
        self.places = places
        self._width = 80
        self._at: list[int] = []
        """Positions in `places` of the calls with output."""
        self._rows_to: list[int] = [0]
        """Rows of output up to and with those calls."""
        if with_output and line.printed:
            for at, seq in self._speaking():
                self._at.append(at)
                self._rows_to.append(self._rows_to[-1] + len(line.printed[seq]))

    def _speaking(self) -> list[tuple[int, int]]:
        calls, printed = self.line.calls, self.line.printed
        return [(at, calls[place].seq) for at, place in enumerate(self.places) if calls[place].seq in printed]

    def layout(self, width: int) -> None:
        """Remember the width."""
        self._width = width

    def __len__(self) -> int:
        return len(self.places) + self._rows_to[-1]

    def index_of(self, at: int) -> int:
        """Return the row of the call at position `at` of `places`."""
        return at + self._rows_to[bisect_left(self._at, at)]

    def locate(self, index: int) -> tuple[int, int | None]:
        """Return the position in `places` that a row belongs to, and which line of its output it is."""
        low, high = 0, len(self._at)
        while low < high:
            middle = (low + high) // 2
            if self._at[middle] + self._rows_to[middle] < index:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return index, None
        before = low - 1
        line = index - (self._at[before] + self._rows_to[before]) - 1
        if line < self._rows_to[low] - self._rows_to[before]:
            return self._at[before], line
        return index - self._rows_to[low], None

    def row(self, index: int) -> Row:
        """Make one row."""
        at, line = self.locate(index)
        place = self.places[at]
        if line is None:
            return call_row(self.line, place, self._width)
        return output_row(self.line, place, line, self._width)

    def at_seq(self, seq: int) -> int:
        """Return the position in `places` of the call `seq`, or of the last one before it; 0 without any."""
        calls = self.line.calls
        found = bisect_right(self.places, seq, key=lambda place: calls[place].seq) - 1
        return max(0, found)
