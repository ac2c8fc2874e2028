"""Rows made of pieces: each says at once how many rows it takes, and makes them when they are drawn.

A change of width costs no more than counting, and what is never drawn is never made.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from itertools import accumulate
from typing import Any, NamedTuple

from triage_tui.ui.rows import BLANK, Marks, Row, Rows, follow

_KEPT = 512
"""Pieces whose rows are kept for the next drawing."""


class Piece(NamedTuple):
    """Rows that stand for one thing."""

    make: Callable[[int], Sequence[Row]]
    """Makes the rows for a width in cells."""
    takes: Callable[[int], int] | int | None = None
    """How many these are, which must be quick to tell; None makes them to count them."""
    target: Any = None
    """What all of them stand for; None leaves that to the rows."""


def blank() -> Piece:
    """Return an empty row."""
    return Piece(lambda width: (BLANK,), 1)


def join(groups: Iterable[Sequence[Piece]]) -> list[Piece]:
    """Return the groups of pieces with a blank row between those that have rows."""
    pieces: list[Piece] = []
    for group in groups:
        if group:
            pieces += [blank(), *group] if pieces else group
    return pieces


class PieceRows(Rows):
    """The rows of pieces, one behind the other."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._width = -1
        self._starts: list[int] = [0]
        """The first row of each piece, and behind the last one the number of all rows."""
        self._made: dict[int, Sequence[Row]] = {}

    def layout(self, width: int) -> None:
        """Count the rows for a width."""
        if width == self._width:
            return
        self._width = width
        self._made = {}
        self._starts = [0, *accumulate(self._count(number) for number in range(len(self._pieces)))]

    def relayout(self, width: int, cursor: int, marks: Marks) -> tuple[int, Marks]:
        """Count the rows for a new width; the cursor and the marks stay on their pieces."""
        before = self._starts
        if width == self._width:
            return cursor, marks
        self.layout(width)
        found: Marks = {}
        for index, span in marks.items():
            piece = self._piece(before, index)
            if piece < 0:
                continue
            whole = all(row in marks for row in range(before[piece], before[piece + 1]))
            for row in self._rows_of(piece) if whole else [self._moved(before, index)]:
                found[row] = span
        return self._moved(before, cursor), found

    def target(self, index: int) -> Any:
        """Return what the row at `index` stands for."""
        target = self._pieces[self._piece(self._starts, index)].target
        return self.row(index).target if target is None else target

    def targets(self) -> Iterator[tuple[int, Any]]:
        """Yield the first row of each piece, and all rows of those that were made to be counted."""
        for number, piece in enumerate(self._pieces):
            start = self._starts[number]
            if piece.takes is None and piece.target is None:
                yield from ((start + offset, row.target) for offset, row in enumerate(self._rows(number)))
            elif self._starts[number + 1] > start:
                yield start, piece.target

    def __len__(self) -> int:
        return self._starts[-1]

    def row(self, index: int) -> Row:
        """Return a row; it is made when its piece is asked for the first time."""
        number = self._piece(self._starts, index)
        return self._rows(number)[index - self._starts[number]]

    def _count(self, number: int) -> int:
        count = self._pieces[number].takes
        if isinstance(count, int):
            return count
        return len(self._rows(number)) if count is None else count(self._width)

    def _rows(self, number: int) -> Sequence[Row]:
        made = self._made.get(number)
        if made is None:
            if len(self._made) >= _KEPT:
                self._made = {}
            made = self._made[number] = self._pieces[number].make(self._width)
        return made

    def _rows_of(self, number: int) -> range:
        return range(self._starts[number], self._starts[number + 1])

    def _moved(self, before: Sequence[int], index: int) -> int:
        """Return the row for what stood in row `index`."""
        piece = self._piece(before, index)
        rows = self._rows_of(piece) if piece >= 0 else range(0)
        return rows[min(index - before[piece], len(rows) - 1)] if rows else index

    @staticmethod
    def _piece(starts: Sequence[int], index: int) -> int:
        """Return the number of the piece that has a row, -1 for none."""
        return bisect_right(starts, index) - 1 if 0 <= index < starts[-1] else -1


class BuiltRows(PieceRows):
    """Pieces that are built for a width, and anew for another one."""

    def __init__(self, build: Callable[[int], Sequence[Piece]]) -> None:
        super().__init__(())
        self._build = build

    def layout(self, width: int) -> None:
        """Build the pieces when the width is another."""
        if width != self._width:
            self._pieces = self._build(width)
            super().layout(width)

    def relayout(self, width: int, cursor: int, marks: Marks) -> tuple[int, Marks]:
        """Build the pieces for a new width and find what the rows stood for, by their targets."""
        if width == self._width:
            return cursor, marks
        before = copy(self)
        self.layout(width)
        return follow(before, self, cursor, marks)


def fixed(rows: Iterable[Row]) -> list[Piece]:
    """Return rows that are made already as pieces."""
    return [Piece(lambda width, row=row: (row,), 1, row.target) for row in rows]  # type: ignore[misc]


def all_rows(rows: Rows, width: int) -> list[Row]:
    """Return all rows at a width, made now."""
    rows.layout(width)
    return [rows.row(index) for index in range(len(rows))]
