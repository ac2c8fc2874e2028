"""Where long lines of plain text are broken: told quickly, without making the rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from rich.cells import get_character_cell_size

_MORE = "\0"
"""Stands for the second cell of a wide character; safe text has none."""
_LEAST = 4
"""Cells of a line at least."""


class Breaking:
    """One line of safe text that may be longer than the view."""

    __slots__ = ("_cells", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._cells = text if text.isascii() else "".join(map(_cells_of, text))

    def count(self, width: int) -> int:
        """Return into how many lines of at most `width` cells it is broken."""
        return 1 if len(self._cells) <= max(_LEAST, width) else sum(1 for _ in self._breaks(width))

    def lines(self, width: int) -> list[str]:
        """Return these lines: broken between words, and within those that are longer than a line."""
        if len(self._cells) <= max(_LEAST, width):
            return [self.text]
        if self._cells is self.text:
            return [self.text[first:end] for first, end in self._breaks(width)]
        ends = list(accumulate(map(get_character_cell_size, self.text)))
        lines: list[str] = []
        at = 0
        for first, end in self._breaks(width):
            # What has no width of its own belongs to the character before it, and goes with a space.
            at = max(at, bisect_right(ends, first) if first else 0)
            behind = bisect_right(ends, end)
            lines.append(self.text[at:behind])
            at = behind
        return lines

    def _breaks(self, width: int) -> Iterator[tuple[int, int]]:
        """Yield the cells of each line: first, behind the last."""
        cells, width = self._cells, max(_LEAST, width)
        first, begin = 0, len(cells) - len(cells.lstrip(" "))
        while len(cells) - first > width:
            end = cells.rfind(" ", max(first, begin) + 1, first + width + 1)
            if end > first:
                yield first, end
                first = end + 1
                while cells[first : first + 1] == " ":
                    first += 1
            else:
                end = first + width
                end -= cells[end] == _MORE
                yield first, end
                first = end
        yield first, len(cells)


def _cells_of(char: str) -> str:
    size = get_character_cell_size(char)
    return char + _MORE if size == 2 else char if size else ""
