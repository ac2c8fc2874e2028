"""A proposed rule against the active one as rows: hunks with their state, both texts side by side or as one.

Every line is shown whole: what is longer than the view is continued on the next row, because what is approved
is what was shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from triage_tui.rulebook.choices import SIGNS, State
from triage_tui.rulebook.hunks import Line, walk
from triage_tui.rulebook.shown import is_exact
from triage_tui.ui.pieces import Piece, fixed
from triage_tui.ui.rows import Part, Row

if TYPE_CHECKING:
    from triage_tui.ui.run_view import RuleText

CONTEXT = 3
"""Unchanged lines that are shown around a hunk."""
SIDE_BY_SIDE = 100
"""Cells of the view from which the texts may stand side by side."""

_FILLS = {"+": "added-row", "-": "removed-row"}
_ROLES = {"+": "added", "-": "removed"}
_STATE_ROLES: dict[State, str] = {"undecided": "hunk", "chosen": "good", "dropped": "muted"}
_LEAST = 8
"""Cells that the text of a line has at least."""
_GUTTER = 8
"""Cells before the text of a line: state, number, "!", sign."""


class Place(NamedTuple):
    """What a row of the patch pane belongs to.

    A proposal by its index (-1 = none), a file ("" = none), a hunk of it (-1 = none), and the line of
    that (-1 = the row above its lines). `fold` is the first of the unchanged lines that a row stands for.
    """

    proposal: int
    file: str = ""
    hunk: int = -1
    row: int = -1
    fold: int = -1
    change: int = -1
    """The first line, of the proposed text, of a change that the row tells of."""


def difference_pieces(
    rule: RuleText,
    states: Sequence[State],
    place: Place,
    width: int,
    *,
    side: bool = False,
    unfolded: Collection[int] = (),
    marked: Collection[int] = (),
    changes: Mapping[int, int] = MappingProxyType({}),
) -> list[Piece]:
    """Return all hunks of a rule with what is around them: a piece for each line, or pair of lines.

    `states` are those of its hunks; `side` puts both texts side by side where that says more; `unfolded` are
    the first lines of unchanged parts that are shown whole; `marked` are line numbers of the proposed text,
    from 1, at which something is wrong; `changes` are those since the text was looked at (`Looked.changes`).
    """
    difference = rule.difference
    if difference is None:
        return []
    writer = _Writer(rule, states, place, width, frozenset(marked), changes)
    # A new rule has nothing to stand beside.
    side = side and bool(difference.old_lines)
    pieces: list[Piece] = []
    for number, lines in _blocks(list(walk(difference))):
        if number < 0:
            at_start, at_end = lines[0].new == 0, lines[-1].new == len(difference.new_lines) - 1
            for piece, folded in _folded(lines, at_start, at_end, unfolded, changes):
                if folded:
                    pieces += fixed([_fold_row(piece, place)])
                else:
                    pieces += [one for line in piece for one in writer.pair(line, line, side, -1)]
            continue
        pieces += fixed([writer.header(number)])
        if side:
            pieces += writer.beside(number, lines)
        else:
            pieces += [one for step, line in enumerate(lines) for one in writer.single(line, step)]
    return pieces + writer.change_at(len(difference.new_lines), -1, -1)


def cells_of(parts: Sequence[Part]) -> int:
    """Return the cells of a line of plain ASCII; -1 for one whose characters may be wide."""
    text = "".join([text for text, _ in parts])
    return len(text) if text.isascii() else -1


def state_part(state: State) -> Part:
    """Return the sign of a state with the space around it."""
    return f" {SIGNS[state]} ", _STATE_ROLES[state]


def summary_of(states: Collection[State]) -> State:
    """Return the state of several hunks: that of all of them, or undecided."""
    return next(iter(states)) if len(set(states)) == 1 else "undecided"


def counted(states: Sequence[State]) -> str:
    """Return how many hunks there are and what is decided about them, in words."""
    count = f"{len(states)} hunk{'s' * (len(states) != 1)}"
    told = [f"{states.count(state)} {state}" for state in ("chosen", "dropped") if state in states]
    return f"{count}: {', '.join(told)}" if told else count


def fold_parts(parts: Sequence[Part], width: int) -> list[tuple[Part, ...]]:
    """Break parts into lines of at most `width` cells, anywhere: code has no better place."""
    width = max(_LEAST, width)
    lines: list[list[Part]] = [[]]
    room = width
    for text, role in parts:
        while text:
            taken = _fitting(text, room)
            if taken == 0:
                lines.append([])
                room = width
                continue
            lines[-1].append((text[:taken], role))
            room -= cell_len(text[:taken])
            text = text[taken:]
    return [tuple(line) for line in lines]


def _fitting(text: str, cells: int) -> int:
    """Return how many characters of `text` fit into `cells`."""
    if text.isascii():
        return min(len(text), cells)
    # What is much longer does not fit: a long line is not measured whole for each row of it.
    if len(text) <= 4 * cells and cell_len(text) <= cells:
        return len(text)
    used = 0
    for index, char in enumerate(text):
        used += cell_len(char)
        if used > cells:
            return index
    return len(text)


def _blocks(lines: list[Line]) -> Iterator[tuple[int, list[Line]]]:
    start = 0
    for index in range(1, len(lines) + 1):
        if index == len(lines) or lines[index].hunk != lines[start].hunk:
            yield lines[start].hunk, lines[start:index]
            start = index


def _folded(
    lines: list[Line], at_start: bool, at_end: bool, unfolded: Collection[int], changes: Collection[int]
) -> Iterator[tuple[list[Line], bool]]:
    """Split unchanged lines into those that are shown and those that one row stands for."""
    first = 0 if at_start else CONTEXT
    last = len(lines) - (0 if at_end else CONTEXT)
    # One row that stands for a single line says less than the line.
    seen = last - first < 2 or lines[first].new in unfolded
    if seen or any(line.new in changes for line in lines[first:last]):
        yield lines, False
        return
    if first:
        yield lines[:first], False
    yield lines[first:last], True
    if last < len(lines):
        yield lines[last:], False


def _fold_row(lines: list[Line], place: Place) -> Row:
    text = f"   ⋯ {len(lines)} unchanged lines, enter shows them"
    return Row(((text, "faint"),), place._replace(fold=lines[0].new))


class _Writer:
    """Makes the rows of one file."""

    def __init__(
        self,
        rule: RuleText,
        states: Sequence[State],
        place: Place,
        width: int,
        marked: frozenset[int],
        changes: Mapping[int, int],
    ) -> None:
        assert rule.difference is not None
        self._rule = rule
        self._difference = rule.difference
        self._states = states
        self._place = place
        self._width = width
        self._marked = marked
        self._changes = changes
        self._half = (width - 1) // 2
        self._old_cells = rule.old_cells or [*map(cells_of, rule.old_parts)]
        self._new_cells = rule.new_cells or [*map(cells_of, rule.new_parts)]

    def header(self, number: int) -> Row:
        hunk, state = self._difference.hunks[number], self._states[number]
        counts = [(f" +{hunk.added}", "added")] if hunk.added else []
        counts += [(f" -{hunk.removed}", "removed")] if hunk.removed else []
        parts = (
            ("  ", ""),
            state_part(state),
            (f"hunk {number + 1} of {len(self._difference.hunks)} ", _STATE_ROLES[state]),
            *counts,
            (f"  {state}", _STATE_ROLES[state]),
        )
        return Row(parts, self._place._replace(hunk=number), "section")

    def change_at(self, index: int, hunk: int, step: int) -> list[Piece]:
        """Return the row that tells of a change that begins at a line, if one does."""
        if index not in self._changes:
            return []
        count = self._changes[index]
        told = f"{count} lines changed" if count > 1 else "this line changed" if count else "lines are gone"
        place = self._place._replace(hunk=hunk, row=max(0, step) if hunk >= 0 else -1, change=index)
        return fixed([Row(((f"   ▼ {told} since you looked", "warn"),), place)])

    def single(self, line: Line, step: int) -> list[Piece]:
        place = Place(self._place.proposal, self._place.file, line.hunk, step)
        fill = "" if self._state(line) == "dropped" else _FILLS.get(line.sign, "")
        piece = self._whole(line, place, fill)
        return [*self.change_at(line.new, line.hunk, step), piece] if self._changes else [piece]

    def _whole(self, line: Line, place: Place, fill: str) -> Piece:
        """Return a line as wide as the view."""

        def make(width: int) -> list[Row]:
            return [Row(parts, place, fill) for parts in self._cells(line, self._width)]

        return Piece(make, self._count(line, self._width), place)

    def pair(self, left: Line | None, right: Line | None, side: bool, step: int) -> list[Piece]:
        """Return a line of each text, which is the same line where nothing changed."""
        one = right or left
        assert one is not None
        place = Place(self._place.proposal, self._place.file, one.hunk, step)
        told = self.change_at(one.new, one.hunk, step)
        if not side:
            return [*told, self._whole(one, place, "")]
        # A line that is unchanged stands on both sides.
        left = left._replace(new=-1) if left is not None else None
        right = right._replace(old=-1) if right is not None else None
        count = max(self._count(line, self._half) if line is not None else 0 for line in (left, right))
        return [*told, Piece(lambda width: self._both(left, right, place), count, place)]

    def _both(self, left: Line | None, right: Line | None, place: Place) -> list[Row]:
        """Return the rows of two lines that stand side by side."""
        lefts = self._cells(left, self._half) if left is not None else []
        rights = self._cells(right, self._half) if right is not None else []
        rows: list[Row] = []
        for index in range(max(len(lefts), len(rights))):
            before = lefts[index] if index < len(lefts) else ()
            after = rights[index] if index < len(rights) else ()
            gap = self._half - sum(cell_len(text) for text, _ in before)
            tints = self._tints(left if before else None, right if after else None)
            rows.append(Row((*before, (" " * gap, ""), ("│", "rule"), *after), place, tints=tints))
        return rows

    def _tints(self, left: Line | None, right: Line | None) -> tuple[tuple[int, int, str], ...]:
        """Return the backgrounds of both halves: those that the rows of one text have."""
        halves = ((left, 0, self._half), (right, self._half + 1, self._width))
        return tuple(
            (first, last, _FILLS[line.sign])
            for line, first, last in halves
            if line is not None and line.sign in _FILLS and self._state(line) != "dropped"
        )

    def beside(self, number: int, lines: list[Line]) -> list[Piece]:
        """Return a hunk with what it takes away at the left and what it adds at the right."""
        removed = self._difference.hunks[number].removed
        lefts, rights = lines[:removed], lines[removed:]
        pieces: list[Piece] = []
        for index in range(max(len(lefts), len(rights))):
            left = lefts[index] if index < len(lefts) else None
            right = rights[index] if index < len(rights) else None
            step = removed + index if right is not None else index
            pieces += self.pair(left, right, True, step)
        return pieces

    def _state(self, line: Line) -> State:
        return self._states[line.hunk] if line.hunk >= 0 else "undecided"

    def _count(self, line: Line, width: int) -> int:
        """Return how many rows a line takes, as `_cells` makes them."""
        old = line.new < 0
        cells = (self._old_cells if old else self._new_cells)[line.old if old else line.new]
        if cells < 0:
            return len(self._cells(line, width))
        room = max(_LEAST, width - _GUTTER - 1)
        if line.hunk >= 0:
            cells += sum(len(text) for text, _ in self._ending(line))
        return -(-cells // room) or 1

    def _raw(self, line: Line) -> bytes:
        if line.new < 0:
            return self._difference.old_lines[line.old]
        return self._difference.new_lines[line.new]

    def _ending(self, line: Line) -> tuple[Part, ...]:
        """Return what tells how a changed line ends, where that is not as usual."""
        raw = self._raw(line)
        if line.hunk < 0 or (raw.endswith(b"\n") and not raw.endswith(b"\r\n")):
            return ()
        return (("␍" if raw.endswith(b"\r\n") else "  (no line end)", "faint"),)

    def _cells(self, line: Line, width: int) -> list[tuple[Part, ...]]:
        old = line.new < 0
        index = line.old if old else line.new
        parts = (self._rule.old_parts if old else self._rule.new_parts)[index]
        state = self._state(line)
        sign_role = "faint" if state == "dropped" else _ROLES.get(line.sign, "")
        mark = SIGNS[state] if line.hunk >= 0 and state != "undecided" else " "
        wrong = not old and index + 1 in self._marked
        note = "✗" if wrong else " " if is_exact(self._raw(line)) else "!"
        parts = (*parts, *self._ending(line))
        if state == "dropped":
            parts = tuple((text, "faint") for text, _ in parts)
        head: tuple[Part, ...] = (
            (mark, _STATE_ROLES[state]),
            (f"{index + 1:>4}", "faint"),
            (note, "bad"),
            (f"{line.sign} ", sign_role),
        )
        lines = fold_parts(parts, width - _GUTTER - 1)
        rest: tuple[Part, ...] = ((" " * (_GUTTER - 2) + "↪ ", "faint"),)
        return [(*(rest if number else head), *text) for number, text in enumerate(lines)]
