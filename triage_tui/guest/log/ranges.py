"""Address ranges that are laid over each other: the newest decides."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class RangeMap:
    """Disjoint ranges of addresses, each with a text. A range that is set hides what was there before."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, str]] = []

    def copy(self) -> RangeMap:
        """Return the same ranges as a map of their own."""
        other = RangeMap()
        other._ranges = list(self._ranges)
        return other

    def set(self, start: int, end: int, text: str | None) -> None:
        """Give [start, end) the text; None takes away what is there."""
        ranges = self._ranges
        first = bisect_right(ranges, start, key=lambda entry: entry[1])
        last = bisect_left(ranges, end, key=lambda entry: entry[0])
        kept: list[tuple[int, int, str]] = []
        for low, high, old in ranges[first:last]:
            if low < start:
                kept.append((low, start, old))
            if end < high:
                kept.append((end, high, old))
        if text is not None and start < end:
            kept.append((start, end, text))
            kept.sort()
        ranges[first:last] = kept

    def at(self, address: int) -> str | None:
        """Return the text of the range that holds `address`, None when none does."""
        index = bisect_right(self._ranges, address, key=lambda entry: entry[0]) - 1
        if index >= 0 and self._ranges[index][1] > address:
            return self._ranges[index][2]
        return None

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        """Go through (start, end, text), lowest first."""
        return iter(self._ranges)

    def pieces(self, start: int, end: int) -> list[tuple[int, int, str | None]]:
        """Cut [start, end) into pieces of one text each, None where there is none, lowest first."""
        found: list[tuple[int, int, str | None]] = []

        def add(low: int, high: int, text: str | None) -> None:
            if found and found[-1][2] == text:
                low = found.pop()[0]
            if low < high:
                found.append((low, high, text))

        at = start
        first = bisect_right(self._ranges, start, key=lambda entry: entry[1])
        for index in range(first, len(self._ranges)):
            low, high, text = self._ranges[index]
            if low >= end:
                break
            if at < low:
                add(at, low, None)
            add(max(low, start), min(high, end), text)
            at = high
        if at < end:
            add(at, end, None)
        return found
