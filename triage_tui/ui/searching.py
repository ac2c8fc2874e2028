"""Searching rows: all hits are highlighted, wherever the rows come from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from rich.cells import cell_len

from triage_tui.ui.rows import Marks, Part, Row, Rows

HIT = "hit"
"""The colour role of what was found."""


class SearchedRows(Rows):
    """Other rows with every `text` in them highlighted; capitals in `text` make capitals matter."""

    def __init__(self, inner: Rows, text: str) -> None:
        self.inner = inner
        self.text = text
        self.wide = inner.wide
        self._exact = text != text.lower()
        self._hits: list[int] | None = None

    def layout(self, width: int) -> None:
        """Lay out the rows."""
        self._hits = None
        self.inner.layout(width)

    def relayout(self, width: int, cursor: int, marks: Marks) -> tuple[int, Marks]:
        """Lay out the rows again."""
        self._hits = None
        return self.inner.relayout(width, cursor, marks)

    def __len__(self) -> int:
        return len(self.inner)

    def row(self, index: int) -> Row:
        """Return a row with its hits in colour."""
        row = self.inner.row(index)
        spans = self.spans(row.text)
        if not spans and self.spans(row.whole):
            # What was found is behind an ellipsis.
            spans = [(at, at + 1) for at, sign in enumerate(row.text) if sign == "…"]
        return row._replace(parts=recolour(row.parts, spans, HIT)) if spans else row

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where the text stands in that of a row: first character, character behind the last."""
        found: list[tuple[int, int]] = []
        # Lower case may have another length (Turkish I): then positions would not fit.
        lower = text if self._exact else text.lower()
        if len(lower) != len(text):
            lower = text
        at = lower.find(self.text)
        while at >= 0 and self.text:
            found.append((at, at + len(self.text)))
            at = lower.find(self.text, at + len(self.text))
        return found

    def _holds(self, row: Row) -> bool:
        return bool(self.spans(row.text) or self.spans(row.whole))

    @property
    def hits(self) -> list[int]:
        """The rows with the text, ascending."""
        if self._hits is None:
            self._hits = [index for index in range(len(self.inner)) if self._holds(self.inner.row(index))]
        return self._hits


def next_hit(hits: Sequence[int], cursor: int, step: int) -> int | None:
    """Return the hit after (1) or before (-1) row `cursor`, from the last on to the first and back."""
    if not hits:
        return None
    at = bisect_left(hits, cursor)
    if step > 0:
        at += at < len(hits) and hits[at] == cursor
        return hits[at % len(hits)]
    return hits[at - 1]


def recolour(parts: Sequence[Part], spans: Sequence[tuple[int, int]], role: str) -> tuple[Part, ...]:
    """Return a row's parts with the characters of `spans` (ascending, apart) in another role."""
    made: list[Part] = []
    at = 0
    for text, own in parts:
        last = at
        for first, end in spans:
            low, high = max(first, last), min(end, at + len(text))
            if low < high:
                if low > last:
                    made.append((text[last - at : low - at], own))
                made.append((text[low - at : high - at], role))
                last = high
        if last < at + len(text):
            made.append((text[last - at :], own))
        at += len(text)
    return tuple(made)


def cells_of(text: str, first: int, end: int) -> tuple[int, int]:
    """Return the cells that characters [first, end) of a row's text take."""
    start = cell_len(text[:first])
    return start, start + cell_len(text[first:end])
