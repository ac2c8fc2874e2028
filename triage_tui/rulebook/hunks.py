"""The difference of a proposed rule from the active one, in hunks that are taken or left one by one.

Texts are bytes and lines end at "\\n" only, so that what is put together is exact: all hunks taken give the
proposed text byte for byte, none give the active one. A hunk is a block of changed lines, without unchanged
lines inside; `split` divides one at any of its lines.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import msgspec

MAX_LINES = 4000
"""Lines of a text that are compared one by one; what differs in longer texts is one hunk."""
_MAX_STEPS = 1 << 21
"""Pairs of equal lines that are looked at: a text of many equal lines would take the search for ever."""


class Hunk(NamedTuple):
    """Lines [old_start, old_end) of the active text become lines [new_start, new_end) of the proposed one."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int

    @property
    def removed(self) -> int:
        """Lines that it takes away."""
        return self.old_end - self.old_start

    @property
    def added(self) -> int:
        """Lines that it adds."""
        return self.new_end - self.new_start

    @property
    def rows(self) -> int:
        """Lines that it is shown in: those it takes away, then those it adds."""
        return self.removed + self.added


class Line(NamedTuple):
    """One line of a difference: its hunk (-1 = unchanged), "+", "-" or " ", and its index in either text.

    An index is -1 where the line is not in that text.
    """

    hunk: int
    sign: str
    old: int
    new: int


class Difference(msgspec.Struct, frozen=True):
    """Two texts and the hunks that lead from `old` to `new`. `old` is None when nothing is active."""

    old: bytes | None
    new: bytes
    old_lines: tuple[bytes, ...]
    new_lines: tuple[bytes, ...]
    hunks: tuple[Hunk, ...]
    keys: tuple[str, ...]
    """What each hunk changes, as a digest: the same for the same change, wherever in the file it stands."""

    @property
    def added(self) -> int:
        """Lines that all hunks add."""
        return sum(hunk.added for hunk in self.hunks)

    @property
    def removed(self) -> int:
        """Lines that all hunks take away."""
        return sum(hunk.removed for hunk in self.hunks)


def compare(old: bytes | None, new: bytes, points: Iterable[tuple[int, int]] = ()) -> Difference:
    """Return the hunks from `old` to `new`.

    `points` are places (line of the old, line of the new text) at which hunks are divided, as `split`
    returns them; those that lie in no hunk are passed over.
    """
    old_lines, new_lines = lines_of(old or b""), lines_of(new)
    hunks: list[Hunk] = list(_changes(old_lines, new_lines))
    for point in sorted(set(points)):
        hunks = [part for hunk in hunks for part in _divided(hunk, point)]
    return Difference(old, new, old_lines, new_lines, tuple(hunks), _keys(old_lines, new_lines, hunks))


def lines_of(text: bytes) -> tuple[bytes, ...]:
    """Return the lines of a text with their "\\n"; the last one may have none."""
    pieces = text.split(b"\n")
    lines = [piece + b"\n" for piece in pieces[:-1]]
    return (*lines, pieces[-1]) if pieces[-1] else tuple(lines)


def split(hunk: Hunk, row: int) -> tuple[int, int]:
    """Return the place at which `hunk` is divided so that its line `row` begins the second part.

    Raises:
        ValueError: no line stands before that row, or there is no such row.
    """
    if not 0 < row < hunk.rows:
        raise ValueError(f"a hunk of {hunk.rows} lines cannot be divided at its line {row}")
    old = min(row, hunk.removed)
    return hunk.old_start + old, hunk.new_start + row - old


def paragraphs(difference: Difference, number: int) -> list[tuple[int, int]]:
    """Return the places that divide a hunk into its paragraphs: behind each empty line that it adds."""
    hunk = difference.hunks[number]
    lines = difference.new_lines[hunk.new_start : hunk.new_end]
    return [
        (hunk.old_end, hunk.new_start + index)
        for index in range(1, len(lines))
        if not lines[index - 1].strip() and lines[index].strip()
    ]


def result(difference: Difference, taken: Collection[int]) -> bytes:
    """Return the text with the hunks whose numbers are in `taken`, and the active text elsewhere."""
    pieces: list[bytes] = []
    done = 0
    for number, hunk in enumerate(difference.hunks):
        pieces += difference.old_lines[done : hunk.old_start]
        if number in taken:
            pieces += difference.new_lines[hunk.new_start : hunk.new_end]
        else:
            pieces += difference.old_lines[hunk.old_start : hunk.old_end]
        done = hunk.old_end
    pieces += difference.old_lines[done:]
    ending = b"\r\n" if any(line.endswith(b"\r\n") for line in pieces) else b"\n"
    # A line that was the last one of its text, without an end, may have others behind it now.
    ended = [line if line.endswith(b"\n") else line + ending for line in pieces[:-1]]
    return b"".join([*ended, *pieces[-1:]])


def walk(difference: Difference) -> Iterator[Line]:
    """Yield every line of both texts, unchanged ones once; of a hunk what it takes away comes first."""
    old = new = 0
    for number, hunk in enumerate(difference.hunks):
        for step in range(hunk.old_start - old):
            yield Line(-1, " ", old + step, new + step)
        for index in range(hunk.old_start, hunk.old_end):
            yield Line(number, "-", index, -1)
        for index in range(hunk.new_start, hunk.new_end):
            yield Line(number, "+", -1, index)
        old, new = hunk.old_end, hunk.new_end
    for step in range(len(difference.old_lines) - old):
        yield Line(-1, " ", old + step, new + step)


def digest_of(text: bytes | None) -> str:
    """Return the SHA-256 of a text, "" for no text."""
    return "" if text is None else hashlib.sha256(text).hexdigest()


def _changes(old: tuple[bytes, ...], new: tuple[bytes, ...]) -> Iterator[Hunk]:
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    before, after = old[first : len(old) - last], new[first : len(new) - last]
    if not before and not after:
        return
    if max(len(before), len(after)) > MAX_LINES:
        yield Hunk(first, first + len(before), first, first + len(after))
        return
    i = j = 0
    for anchor, other in [*_anchors(before, after), (len(before), len(after))]:
        for hunk in _between(before[i:anchor], after[j:other]):
            yield Hunk(
                first + i + hunk.old_start,
                first + i + hunk.old_end,
                first + j + hunk.new_start,
                first + j + hunk.new_end,
            )
        i, j = anchor + 1, other + 1


def _anchors(before: tuple[bytes, ...], after: tuple[bytes, ...]) -> list[tuple[int, int]]:
    """Return the lines that stand once in each text, as many as come in the same order in both.

    Texts are compared between these only (patience diff): what is found reads better, and the search for
    equal lines stays short.
    """
    once = [Counter(text) for text in (before, after)]
    where = {line: index for index, line in enumerate(after) if once[1][line] == 1}
    pairs = [(i, where[line]) for i, line in enumerate(before) if once[0][line] == 1 and line in where]
    # The longest rising sequence of the second indices, by patience sorting.
    tops: list[int] = []
    ends: list[int] = []
    links: list[int] = []
    for number, (_, j) in enumerate(pairs):
        pile = bisect_left(tops, j)
        links.append(ends[pile - 1] if pile else -1)
        tops[pile : pile + 1], ends[pile : pile + 1] = [j], [number]
    found = []
    at = ends[-1] if ends else -1
    while at >= 0:
        found.append(pairs[at])
        at = links[at]
    return found[::-1]


def _between(before: tuple[bytes, ...], after: tuple[bytes, ...]) -> Iterator[Hunk]:
    if not before or not after or _too_much(before, after):
        if before or after:
            yield Hunk(0, len(before), 0, len(after))
        return
    from difflib import SequenceMatcher

    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            yield Hunk(i1, i2, j1, j2)


def _too_much(before: tuple[bytes, ...], after: tuple[bytes, ...]) -> bool:
    """Tell whether the search would look at too many pairs: it may do so once for each line."""
    counts = Counter(after)
    pairs = sum(counts[line] for line in before)
    return pairs * min(len(before), len(after)) > _MAX_STEPS


def _divided(hunk: Hunk, point: tuple[int, int]) -> Iterator[Hunk]:
    old, new = point
    # What is taken away comes first: a place is among it, or among what is added.
    before = hunk.old_start < old <= hunk.old_end and new == hunk.new_start
    after = old == hunk.old_end and hunk.new_start < new < hunk.new_end
    ends = (hunk.old_end, hunk.new_end)
    if (before or after) and point != ends:
        yield Hunk(hunk.old_start, old, hunk.new_start, new)
        yield Hunk(old, hunk.old_end, new, hunk.new_end)
    else:
        yield hunk


def _keys(old: tuple[bytes, ...], new: tuple[bytes, ...], hunks: list[Hunk]) -> tuple[str, ...]:
    keys = []
    seen: Counter[bytes] = Counter()
    for hunk in hunks:
        digest = hashlib.sha256(str(hunk.removed).encode())
        for line in (*old[hunk.old_start : hunk.old_end], *new[hunk.new_start : hunk.new_end]):
            digest.update(b"%d:" % len(line) + line)
        # Of equal changes in one file each is one of its own.
        seen[digest.digest()] += 1
        keys.append(f"{digest.hexdigest()[:32]}-{seen[digest.digest()]}")
    return tuple(keys)
