"""Lines of two runs beside each other.

What two lines say may differ where nothing changed: addresses, clocks and ids are others in every run. So a
line has a key by which it is compared beside the text that is shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple, TypeVar

T = TypeVar("T")

WINDOW = 1500
"""Lines of each run that are aligned at once: that takes quadratic time."""
LEAST_WINDOW, MAX_EQUAL = 100, 30_000
"""Lines that are aligned at once in any case, and pairs of equal ones from which on they are fewer."""
MAX_ALIGNED = 12_000
"""Lines that are aligned at all, between those in common at both ends."""


class Line(NamedTuple):
    """A line of one run; its text is safe to show."""

    text: str
    key: str = ""
    """What it is compared by, its text where this is empty."""
    link: str = ""
    """What it leads to in its run: an evidence link, "rule:FILE", "pane:NAME", or "" for nothing."""
    kind: str = ""
    """Lines of different kinds never stand beside each other as one that changed into the other."""

    @property
    def identity(self) -> str:
        """What it is compared by."""
        return self.key or self.text


class Pair(NamedTuple):
    """A line of one run beside that of the other; None where one has nothing to put beside it."""

    left: Line | None
    right: Line | None

    @property
    def same(self) -> bool:
        """Whether both say the same."""
        return self.left is not None and self.right is not None and self.left.identity == self.right.identity


class Section(NamedTuple):
    """One part of a comparison."""

    title: str
    pairs: list[Pair]
    note: str = ""
    """What has to be known of it, in whole sentences."""
    gist: str = ""
    """What differs, in a few words; "" leaves it to the first difference."""

    @property
    def differ(self) -> int:
        """How many lines differ."""
        return sum(not pair.same for pair in self.pairs)


def align(left: Sequence[Line], right: Sequence[Line]) -> tuple[list[Pair], int]:
    """Return both lists beside each other, and how many lines in the middle were left out."""
    a, b = [line.identity for line in left], [line.identity for line in right]
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    pairs = list(map(Pair, left[:head], right[:head]))
    i = j = head
    ends = len(left) - tail, len(right) - tail
    budget = MAX_ALIGNED
    while (i < ends[0] or j < ends[1]) and budget > 0:
        size = _window(a[i : min(i + WINDOW, ends[0])], b[j : min(j + WINDOW, ends[1])])
        old, new = left[i : min(i + size, ends[0])], right[j : min(j + size, ends[1])]
        found, done = _aligned(old, new, whole=i + len(old) == ends[0] and j + len(new) == ends[1])
        pairs += found
        i, j = i + done[0], j + done[1]
        budget -= max(done)
    cut = ends[0] - i + ends[1] - j
    return pairs + list(map(Pair, left[ends[0] :], right[ends[1] :])), cut


def _window(left: Sequence[str], right: Sequence[str]) -> int:
    """Return how many lines to align at once: fewer where the same ones come again and again."""
    size = max(len(left), len(right), 1)
    while size > LEAST_WINDOW:
        counts = Counter(right[:size])
        if sum(counts[line] for line in left[:size]) <= MAX_EQUAL:
            break
        size //= 2
    return size


def _aligned(left: Sequence[Line], right: Sequence[Line], whole: bool) -> tuple[list[Pair], tuple[int, int]]:
    """Return lines beside each other, and how many of either were used.

    Unless it is the `whole` rest, what comes after the last line in common is left for the lines to come.
    """
    keys = [line.identity for line in left], [line.identity for line in right]
    steps = SequenceMatcher(None, *keys, autojunk=False).get_opcodes()
    if not whole and len(steps) > 1 and steps[-1][0] != "equal":
        steps = steps[:-1]
    pairs: list[Pair] = []
    for tag, i1, i2, j1, j2 in steps:
        if tag == "equal":
            pairs += map(Pair, left[i1:i2], right[j1:j2])
        else:
            pairs += _replaced(left[i1:i2], right[j1:j2])
    return pairs, (steps[-1][2], steps[-1][4]) if steps else (0, 0)


def _replaced(left: Sequence[Line], right: Sequence[Line]) -> list[Pair]:
    """Set those lines beside each other that are of one kind."""
    kinds = [line.kind for line in left], [line.kind for line in right]
    pairs: list[Pair] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, *kinds, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs += map(Pair, left[i1:i2], right[j1:j2])
        else:
            pairs += [Pair(line, None) for line in left[i1:i2]]
            pairs += [Pair(None, line) for line in right[j1:j2]]
    return pairs


def by_name(left: dict[str, Line], right: dict[str, Line]) -> list[Pair]:
    """Return the lines of equal names beside each other; what one run lacks stands where the other has it."""
    names, place = list(left), 0
    for name in right:
        if name in left:
            place = names.index(name) + 1
        else:
            names.insert(place, name)
            place += 1
    return [Pair(left.get(name), right.get(name)) for name in names]


def partners(
    left: Sequence[T], right: Sequence[T], *keys: Callable[[T], Hashable]
) -> list[tuple[T | None, T | None]]:
    """Return what is alike in both beside each other, the first ones first.

    Each of `keys` says what is alike, the strictest first: what one pairs is gone for the next.
    """
    found: dict[int, int] = {}
    for key in keys:
        waiting: dict[Hashable, list[int]] = {}
        for j, one in enumerate(right):
            if j not in found.values():
                waiting.setdefault(key(one), []).append(j)
        for i, one in enumerate(left):
            if i not in found and (places := waiting.get(key(one))):
                found[i] = places.pop(0)
    made: list[tuple[int | None, int | None]] = [(i, found.get(i)) for i in range(len(left))]
    made += [(None, j) for j in range(len(right)) if j not in found.values()]
    # The rank in either run counts, the first run first.
    made.sort(key=lambda pair: min((rank, side) for side, rank in enumerate(pair) if rank is not None))
    return [(left[i] if i is not None else None, right[j] if j is not None else None) for i, j in made]


def one_sided(pairs: Sequence[Pair]) -> str:
    """Return which run has none of something in words; "" when both have some, or neither."""
    sides = [any(pair[side] is not None for pair in pairs) for side in (0, 1)]
    return "" if sides[0] == sides[1] else f"the {'second' if sides[0] else 'first'} run has none"


def counted(pairs: Iterable[Pair]) -> str:
    """Return how many lines are only in one run and how many changed, in words; "" when none is."""
    changed = [pair for pair in pairs if not pair.same]
    first = sum(pair.right is None for pair in changed)
    second = sum(pair.left is None for pair in changed)
    told = [
        (len(changed) - first - second, "changed"),
        (first, "only in the first"),
        (second, "only in the second"),
    ]
    return ", ".join(f"{count} {words}" for count, words in told if count)


_CLOCK = re.compile(
    r"\b\d{4}[-/]\d\d[-/]\d\d\b|\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w* \d{4}\b"
    r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b|\b1[0-9]{9}(?:\.\d+)?\b|\b\d+\.\d+ ?m?s\b"
)
"""Dates, times of day, seconds since 1970, durations."""
_INODE = re.compile(r":\[\d+\]")


def without_clocks(text: str) -> str:
    """Return a line that was printed with one word in place of each date, time of day and duration."""
    return _CLOCK.sub("TIME", text)


def without_inodes(text: str) -> str:
    """Return "pipe:[5177790]" as "pipe:"."""
    return _INODE.sub(":", text)
