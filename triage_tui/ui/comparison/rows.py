"""A comparison as rows: what differs at a glance, then each part, in two columns where there is room."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, NamedTuple

from rich.cells import cell_len

from triage_tui.ui.comparison.compare import Comparison
from triage_tui.ui.comparison.model import Line, Pair, Section
from triage_tui.ui.rows import BLANK, Part, Row, clip, fit, heading, short, wrap_parts, wrapped

SIDE_BY_SIDE = 100
"""Cells from which both runs have a column; below that they have signs, as in a unified diff."""
CONTEXT = 1
"""Lines in common that are shown around a difference."""
LONGEST, FIRST, LAST = 24, 12, 4
"""Lines one after the other that differ and are all shown, and those that are shown of more."""
MAX_SHOWN = 300
"""Lines of one part that are laid out until more are asked for: laying out keeps the keys waiting."""
MAX_ROWS = 6
"""Rows that a line which differs may take."""

_SIGNS = (("- ", "removed"), ("+ ", "added"))
_TINTS = ("removed-row", "added-row")
_WORDS = re.compile(r"\w+(?:\.\w+)*|\W")


class Spot(NamedTuple):
    """What a row stands for: a section in the overview or its heading, a pair of lines, or several.

    `fold` is of lines in common, `more` of lines that differ.
    """

    what: Literal["overview", "section", "difference", "same", "fold", "more"]
    section: int
    pair: int = -1


def comparison_rows(found: Comparison, width: int, unfolded: Collection[Spot] = ()) -> list[Row]:
    """Return the comparison as rows; `unfolded` are the folds and the equal sections that are shown whole."""
    rows = _head(found, width)
    for number, section in enumerate(found.sections):
        if section.differ or (section.pairs and Spot("overview", number) in unfolded):
            rows += [BLANK, heading(section.title, width, _count(section), Spot("section", number))]
            if section.note:
                rows += wrapped(section.note, width, "muted", 2)
            rows += _pairs(found, number, width, unfolded)
    return rows


def _head(found: Comparison, width: int) -> list[Row]:
    rows = _titles(found, width)
    for note in found.notes:
        rows += wrapped(note, width, "warn", 1)
    return [*rows, BLANK, *_overview(found, width)]


def rows_with(found: Comparison, width: int, words: Sequence[str]) -> list[Row]:
    """Return the rows that hold all words (lower case), those among them that are folded otherwise."""
    rows = [row for row in _head(found, width) if _hold(words, f"{row.text} {row.whole}")]
    for number, section in enumerate(found.sections):
        held = [
            place
            for place, pair in enumerate(section.pairs)
            if _hold(words, " ".join(line.text for line in pair if line is not None))
        ]
        if not held:
            continue
        rows += [BLANK] if rows else []
        rows.append(heading(section.title, width, _count(section), Spot("section", number)))
        for place in held[:MAX_SHOWN]:
            spot = Spot("same" if section.pairs[place].same else "difference", number, place)
            rows += _pair(found, spot, width)
        if len(held) > MAX_SHOWN:
            rows.append(Row(((f"  ⋯ {len(held) - MAX_SHOWN} more hold that", "faint"),)))
    return rows


def _hold(words: Sequence[str], text: str) -> bool:
    text = text.lower()
    return all(word in text for word in words)


def differences(rows: Sequence[Row]) -> list[int]:
    """Return the indices of the rows at which a difference begins; lines that follow each other are one."""
    found: list[int] = []
    before: Spot | None = None
    for index, row in enumerate(rows):
        spot = row.target if isinstance(row.target, Spot) else None
        if spot is None or spot.what not in ("difference", "more"):
            before = None
            continue
        # Rows that are found by words stand next to each other though their lines do not.
        if before is None or before.section != spot.section or not _next_to(before, spot):
            found.append(index)
        before = spot
    return found


def _next_to(one: Spot, other: Spot) -> bool:
    return "more" in (one.what, other.what) or other.pair - one.pair <= 1


def _count(section: Section) -> str:
    if not section.pairs:
        return "none in either run"
    differ = section.differ
    if not differ:
        return f"the same ({len(section.pairs)})"
    return f"{differ} of {len(section.pairs)} differ"


def _titles(found: Comparison, width: int) -> list[Row]:
    """Return which run is which: the head of each column, or the sign of each run and its name."""
    heads = [f"{side.run_id}  {side.name}" for side in found.sides]
    if width < SIDE_BY_SIDE:
        rows = []
        for (sign, role), head, side in zip(_SIGNS, heads, found.sides, strict=True):
            rows.append(Row(((sign, role), (short(head, width - 2), "strong"))))
            rows.append(Row((("  ", ""), (short(side.about, width - 2), "muted"))))
        return rows
    column = (width - 3) // 2
    return [
        Row(
            (
                (fit(short(texts[0], column), column), role),
                (" │ ", "rule"),
                (fit(short(texts[1], column), column), role),
            )
        )
        for texts, role in ((heads, "strong"), ([side.about for side in found.sides], "muted"))
    ]


def _overview(found: Comparison, width: int) -> list[Row]:
    rows = []
    names = max(len(section.title) for section in found.sections)
    counts = max(len(_count(section)) for section in found.sections)
    for number, section in enumerate(found.sections):
        differ = section.differ > 0
        parts: list[Part] = [
            ("≠ " if differ else "= ", "changed" if differ else "good" if section.pairs else "faint"),
            (fit(section.title, names + 2), "strong" if differ else "muted"),
            (fit(_count(section), min(counts, width - names - 4)), "changed" if differ else "muted"),
        ]
        gist = _gist(section, width - names - counts - 6) if differ else ""
        rows.append(Row((*parts, ("  " if gist else "", ""), (gist, "")), Spot("overview", number)))
    if not any(section.differ for section in found.sections):
        rows += wrapped("Nothing that is compared differs.", width, "good", 0)
    return rows


def _gist(section: Section, room: int) -> str:
    """Return what differs in a few words: of the first difference where nobody found better ones."""
    if section.gist or room < 10:
        return clip(section.gist, max(0, room))
    first = next(pair for pair in section.pairs if not pair.same)
    if first.left is None or first.right is None:
        line = first.left or first.right
        which = "first" if first.right is None else "second"
        return clip(f"only in the {which}: {line.text.strip() if line is not None else ''}", room)
    before, after = first.left.text.strip(), first.right.text.strip()
    if cell_len(before) + cell_len(after) + 3 > room:
        # What they have in common would leave no room for what differs.
        one, other = _parts(first)
        before, after = (next((text.strip() for text, role in side if role), "") for side in (one, other))
        before, after = before or "…", after or "…"
    half = max(8, (room - 3) // 2)
    return clip(f"{clip(before, max(half, room - 3 - cell_len(after)))} → {after}", room)


# --- pairs -------------------------------------------------------------------------------------------------


def _pairs(found: Comparison, number: int, width: int, unfolded: Collection[Spot]) -> Iterator[Row]:
    """Yield the rows of one section, with one row for what is folded."""
    pairs = found.sections[number].pairs
    for fold, places in _pieces(pairs, number, unfolded):
        if fold is not None:
            what = "lines in common" if fold.what == "fold" else "more lines"
            yield Row(((clip(f"  ⋯ {len(places)} {what}, enter shows them", width), "faint"),), fold)
            continue
        for place in places:
            spot = Spot("same" if pairs[place].same else "difference", number, place)
            yield from _pair(found, spot, width)


def _pieces(
    pairs: Sequence[Pair], number: int, unfolded: Collection[Spot]
) -> Iterator[tuple[Spot | None, range]]:
    """Yield the pairs of a section piece by piece, each with the fold that stands for it if one does."""
    near = [Spot("overview", number) in unfolded] * len(pairs)
    for index, pair in enumerate(pairs):
        if not pair.same:
            for place in range(max(0, index - CONTEXT), min(len(pairs), index + CONTEXT + 1)):
                near[place] = True
    index, shown = 0, 0
    while index < len(pairs):
        if shown >= MAX_SHOWN and len(pairs) - index > LAST:
            rest = Spot("more", number, index)
            if rest not in unfolded:
                yield rest, range(index, len(pairs))
                return
            shown = 0
        differs, end = not pairs[index].same, index
        while end < len(pairs) and (not pairs[end].same if differs else not near[end]):
            end += 1
        end = max(end, index + 1)
        fold = Spot("more" if differs else "fold", number, index)
        first, last = (index + FIRST, end - LAST) if differs else (index, end)
        folded = end - index > (LONGEST if differs else 1) and fold not in unfolded
        if folded:
            yield None, range(index, first)
            yield fold, range(first, last)
            yield None, range(last, end)
        else:
            yield None, range(index, end)
        shown += 1 if folded and not differs else FIRST + LAST if folded else end - index
        index = end


def _pair(found: Comparison, spot: Spot, width: int) -> Iterator[Row]:
    pair = found.sections[spot.section].pairs[spot.pair]
    links = [
        f"{side.run_id} {line.link}" if line is not None and line.link else ""
        for line, side in zip(pair, found.sides, strict=True)
    ]
    make = _beside if width >= SIDE_BY_SIDE else _below
    yield from make(pair, spot, width, links)


def _beside(pair: Pair, spot: Spot, width: int, links: Sequence[str]) -> Iterator[Row]:
    column = (width - 3) // 2
    spans = ((0, column), (column + 3, column + 3 + column))
    made = tuple((a, b, link) for (a, b), link in zip(spans, links, strict=True) if link)
    if pair.same:
        cells = [fit(line.text if line is not None else "", column) for line in pair]
        whole = "\n".join(line.text for line in pair if line is not None)
        bar: Part = (" │ ", "rule")
        yield Row(((cells[0], "muted"), bar, (cells[1], "muted")), spot, links=made, whole=whole)
        return
    # A sign as well as a colour: < and > for what is in one run only.
    sign = " < " if pair.right is None else " > " if pair.left is None else " ≠ "
    left, right = (_lines(line, parts, column) for line, parts in zip(pair, _parts(pair), strict=True))
    for index in range(max(len(left), len(right))):
        halves = [lines[index] if index < len(lines) else () for lines in (left, right)]
        gap = column - sum(cell_len(text) for text, _ in halves[0])
        tints = tuple(
            (a, b, tint) for line, (a, b), tint in zip(pair, spans, _TINTS, strict=True) if line is not None
        )
        middle = sign if index == 0 else " │ "
        between: tuple[Part, ...] = ((" " * gap, ""), (middle, "changed" if index == 0 else "rule"))
        yield Row((*halves[0], *between, *halves[1]), spot, links=made, tints=tints)


def _below(pair: Pair, spot: Spot, width: int, links: Sequence[str]) -> Iterator[Row]:
    if pair.same:
        text = pair.left.text if pair.left is not None else ""
        whole = ((2, width, links[0]),) if links[0] else ()
        yield Row((("  ", ""), (clip(text, width - 2), "muted")), spot, links=whole, whole=text)
        return
    for line, parts, (sign, role), tint, link in zip(pair, _parts(pair), _SIGNS, _TINTS, links, strict=True):
        places = ((2, width, link),) if link else ()
        for index, shown in enumerate(_lines(line, parts, width - 2)):
            head: Part = (sign if index == 0 else "  ", role)
            yield Row((head, *shown), spot, tint, places)


def _lines(line: Line | None, parts: Sequence[Part], width: int) -> list[tuple[Part, ...]]:
    """Break a line that differs into rows, as far indented as it is; what is too long is cut."""
    if line is None:
        return []
    indent = min(len(line.text) - len(line.text.lstrip(" ")), width // 3)
    lines = wrap_parts(parts, width, " " * indent, " " * (indent + 2))
    if len(lines) > MAX_ROWS:
        lines = [*lines[: MAX_ROWS - 1], ((" " * indent + "  …", "muted"),)]
    return lines


def _parts(pair: Pair) -> tuple[list[Part], list[Part]]:
    """Return both lines as parts, in colour what one says and the other does not."""
    texts = [line.text.strip(" ") if line is not None else "" for line in pair]
    if pair.left is None or pair.right is None:
        return [(texts[0], "removed")], [(texts[1], "added")]
    words = [_WORDS.findall(text) for text in texts]
    head = _alike(words, lambda n: n)
    tail = min(_alike(words, lambda n: -1 - n), min(map(len, words)) - head)
    made = []
    for pieces, role in zip(words, ("removed", "added"), strict=True):
        end = len(pieces) - tail
        groups = ((pieces[:head], ""), (pieces[head:end], role), (pieces[end:], ""))
        made.append([("".join(group), role) for group, role in groups if group])
    return made[0], made[1]


def _alike(words: Sequence[Sequence[str]], place: Callable[[int], int]) -> int:
    """Return how many words are the same from one end on."""
    count = 0
    while count < min(map(len, words)) and words[0][place(count)] == words[1][place(count)]:
        count += 1
    return count
