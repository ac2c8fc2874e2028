"""Rows: what a line view shows, as data without a widget.

A row is a sequence of (text, role) parts. Roles are names such as "address" or "failed"; a theme gives them
colours (`triage_tui.ui.roles`). Building rows is plain Python, so that panes can be tested without a screen.
Text must be safe (`triage_tui.text`) before it gets into a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from triage_tui.text import safe_line

Part = tuple[str, str]
"""Text and the name of its colour role ("" = plain text)."""
Marks = dict[int, tuple[int, int] | None]
"""Highlighted rows: index to the cells [first, behind last), or None for the whole row."""


class Row(NamedTuple):
    """One line: its parts, what it stands for, and the role of its whole background ("" = none)."""

    parts: tuple[Part, ...]
    target: Any = None
    fill: str = ""
    links: tuple[tuple[int, int, str], ...] = ()
    """Places that can be followed: first cell, cell behind the last, evidence link."""
    tints: tuple[tuple[int, int, str], ...] = ()
    """Backgrounds of parts of the line: first cell, cell behind the last, role as in `fill`."""
    whole: str = ""
    """The text of which the width may leave a part only; a search looks there too."""

    @property
    def text(self) -> str:
        """The row as plain text."""
        return "".join(part[0] for part in self.parts)


BLANK = Row(())


class Rows:
    """A sequence of rows that is asked for one row at a time.

    Subclasses override `__len__` and `row`; those whose rows depend on the width override `layout` too, and
    `relayout` when a row then stands for something else than the row of the same index did.
    """

    wide: int = 0
    """Cells of the widest row when rows do not adapt to the width (0 = they adapt: no sideways scrolling)."""

    def layout(self, width: int) -> None:
        """Be told the width in cells of the view, before the first `row` and after each change."""

    def relayout(self, width: int, cursor: int, marks: Marks) -> tuple[int, Marks]:
        """Be told a new width; return where the row of the cursor and the highlighted ones are then."""
        self.layout(width)
        return cursor, marks

    def __len__(self) -> int:
        return 0

    def row(self, index: int) -> Row:
        """Return the row at `index` (0 <= index < len)."""
        return BLANK

    def find(self, test: Callable[[Row], bool]) -> int | None:
        """Return the index of the first row that passes `test`, or None."""
        return next((index for index in range(len(self)) if test(self.row(index))), None)

    def target(self, index: int) -> Any:
        """Return what the row at `index` stands for."""
        return self.row(index).target

    def targets(self) -> Iterator[tuple[int, Any]]:
        """Yield rows and what they stand for; of rows that are known to stand for the same only the first."""
        for index in range(len(self)):
            yield index, self.row(index).target

    def place(self, target: Any) -> int | None:
        """Return the index of the first row that stands for `target`, or None."""
        return next((index for index, one in self.targets() if one == target), None)


def follow(before: Rows, after: Rows, cursor: int, marks: Marks) -> tuple[int, Marks]:
    """Find in other rows what the row of the cursor and the highlighted ones stood for, by their targets."""
    found: Marks = {}
    for index, span in marks.items():
        whole = all(one in marks for one in _alike(before, index))
        for place in _places(before, after, index, whole):
            found[place] = span
    return next(iter(_places(before, after, cursor, False)), cursor), found


def _places(before: Rows, after: Rows, index: int, whole: bool) -> Iterable[int]:
    """Return the row that stands for what row `index` stood for, or all of them."""
    target = before.target(index) if 0 <= index < len(before) else None
    if target is None:
        return [index] if index < len(after) else []
    first = after.place(target)
    if first is None:
        return []
    new = _alike(after, first)
    return new if whole else [new[min(index - _alike(before, index).start, len(new) - 1)]]


def _alike(rows: Rows, index: int) -> range:
    """Return the rows around row `index` that stand for the same."""
    if not 0 <= index < len(rows):
        return range(index, index + 1)
    target, first, end = rows.target(index), index, index + 1
    while first > 0 and rows.target(first - 1) == target:
        first -= 1
    while end < len(rows) and rows.target(end) == target:
        end += 1
    return range(first, end)


class ListRows(Rows):
    """Rows held in a list, made again by `build(width)` whenever the width changes."""

    def __init__(self, build: Callable[[int], list[Row]]) -> None:
        self._build = build
        self._rows: list[Row] = []
        self._width = -1

    def layout(self, width: int) -> None:
        """Rebuild the rows when the width is another."""
        if width != self._width:
            self._width = width
            self._rows = self._build(width)

    def relayout(self, width: int, cursor: int, marks: Marks) -> tuple[int, Marks]:
        """Build the rows for a new width and find what the old ones stood for, by their targets."""
        before = copy(self)
        self.layout(width)
        return (cursor, marks) if before._rows is self._rows else follow(before, self, cursor, marks)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> Row:
        """Return one of the built rows."""
        return self._rows[index]


class MadeRows(Rows):
    """`count` rows, each made when it is drawn by `make(index, width)`."""

    def __init__(self, count: int, make: Callable[[int, int], Row], wide: int = 0) -> None:
        self._count = count
        self._make = make
        self._width = 80
        self.wide = wide

    def layout(self, width: int) -> None:
        """Remember the width for `make`."""
        self._width = width

    def __len__(self) -> int:
        return self._count

    def row(self, index: int) -> Row:
        """Make one row."""
        return self._make(index, self._width)


def fit(text: str, width: int, align: str = "left") -> str:
    """Return `text` in exactly `width` cells: padded, or cut with an ellipsis."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, max(0, width - 1)) + "…" if width > 0 else ""
    gap = " " * (width - size)
    return gap + text if align == "right" else text + gap


def clip(text: str, width: int) -> str:
    """Return `text` in at most `width` cells, cut with an ellipsis."""
    return text if cell_len(text) <= width else fit(text, width)


def short(data: bytes | str, cells: int) -> str:
    """Return untrusted text as safe text of at most `cells` cells, cut with an ellipsis."""
    return clip(safe_line(data, max(400, cells)), cells)


def _split_long(word: str, width: int) -> Iterator[str]:
    while cell_len(word) > width:
        taken = 1
        while taken < len(word) and cell_len(word[: taken + 1]) <= width:
            taken += 1
        yield word[:taken]
        word = word[taken:]
    yield word


def wrap_parts(parts: Sequence[Part], width: int, first: str = "", rest: str = "") -> list[tuple[Part, ...]]:
    """Break parts between words into lines of at most `width` cells; `first` and `rest` indent them."""
    width = max(width, 8)
    lines: list[list[Part]] = []
    line: list[Part] = [(first, "")] if first else []
    used = cell_len(first)
    fresh = True
    for text, role in parts:
        for number, word in enumerate(text.split(" ")):
            space = number > 0
            for piece in _split_long(word, max(4, width - cell_len(rest))):
                size = cell_len(piece)
                if not fresh and used + size + space > width:
                    lines.append(line)
                    line = [(rest, "")] if rest else []
                    used, fresh, space = cell_len(rest), True, False
                if space and not fresh:
                    line.append((" ", role if role.startswith("link") and number else ""))
                    used += 1
                if piece:
                    line.append((piece, role))
                    used += size
                    fresh = False
                space = False
    lines.append(line)
    return [tuple(line) for line in lines]


def wrapped(text: str, width: int, role: str = "", indent: int = 0, target: Any = None) -> list[Row]:
    """Return one-colour text wrapped into rows, each line of `text` on its own."""
    pad = " " * indent
    rows: list[Row] = []
    for line in text.split("\n"):
        rows += [Row(parts, target) for parts in wrap_parts([(line, role)], width, pad, pad)]
    return rows


def heading(text: str, width: int, note: str = "", target: Any = None) -> Row:
    """Return a section heading: a word, a thin rule to the right edge, an optional note at its end."""
    room = max(0, width - cell_len(text) - 3 - (cell_len(note) + 1 if note else 0))
    parts: list[Part] = [(" ", ""), (text, "heading"), (" ", ""), ("─" * room, "rule")]
    if note:
        parts += [(" ", ""), (note, "muted")]
    return Row(tuple(parts), target)


def field(
    label: str, text: str, width: int, role: str = "", column: int = 10, target: Any = None
) -> list[Row]:
    """Return `label  text` rows with the text wrapped in its own column."""
    lines = wrap_parts([(text, role)], max(8, width - column - 1))
    rows = []
    for number, parts in enumerate(lines):
        head = fit(" " + label, column) if number == 0 else " " * column
        rows.append(Row(((head + " ", "muted"), *parts), target))
    return rows


def join(groups: Iterable[Sequence[Row]]) -> list[Row]:
    """Return the groups of rows with a blank row between them."""
    rows: list[Row] = []
    for group in groups:
        if rows and group:
            rows.append(BLANK)
        rows.extend(group)
    return rows
