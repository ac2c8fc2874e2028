"""The logs of a run as rows, made when they are drawn: which lines are shown, and where long ones break."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from triage_tui.errors import TriageError
from triage_tui.runs.evidence import parse_link
from triage_tui.text import number_of, safe_line
from triage_tui.ui.pieces import Piece
from triage_tui.ui.rows import Row, heading, short, wrapped
from triage_tui.ui.wrapping import Breaking

if TYPE_CHECKING:
    from triage_tui.ui.run_view import RunView

MAX_FIRST, MAX_LAST, AROUND = 200, 1800, 10
"""Lines laid out of one log: its first, its last, and those around a line that is cited as evidence."""
LEAST_LINES = 100
"""Lines laid out of each log where many logs share these."""
MAX_LINE = 600
"""Characters laid out of one line of a log."""
_HEAD = 8
"""Cells of the number before a line."""


class ShownLine(NamedTuple):
    """A line of a log that is shown."""

    number: int
    text: Breaking


def shown_lines(view: RunView) -> dict[str, list[ShownLine]]:
    """Return the lines of each log that are shown; called where the run is read, because it takes a while."""
    cited = _cited_lines(view)
    most = max(LEAST_LINES, (MAX_FIRST + MAX_LAST) // max(1, len(view.logs)))
    found = {}
    for name, lines in view.logs.items():
        numbers = _lines_to_show(len(lines), cited.get(name, set()), most)
        at = view.log_places.get(name, {})
        width = max((len(at[number]) for number in numbers if number in at), default=-2) + 2
        found[name] = [
            ShownLine(
                number, Breaking(f"{at.get(number, ''):<{width}}{safe_line(lines[number - 1], MAX_LINE)}")
            )
            for number in numbers
        ]
    return found


def log_pieces(view: RunView) -> list[Piece]:
    """Return all logs, one below the other."""
    pieces: list[Piece] = []
    for name, lines in view.logs.items():
        title = "Guest output" if f"logs/{name}" == view.snapshot.guest_output else f"Log {short(name, 60)}"
        title = view.log_titles.get(name, title)
        target = ("log", name, 0)
        pieces.append(Piece(partial(_heading, title, number_of(len(lines), "line"), target), 1, target))
        last = 0
        for line in view.shown_lines[name]:
            if line.number > last + 1:
                left = number_of(line.number - last - 1, "line is", "lines are")
                pieces.append(_note(f"… {left} left out here", "muted"))
            last = line.number
            target = ("log", name, line.number)
            pieces.append(Piece(partial(_rows, line, target), partial(_count, line), target))
        if name in view.log_notes:
            pieces.append(_note(view.log_notes[name], "warn"))
    return pieces


def _heading(title: str, note: str, target: object, width: int) -> list[Row]:
    return [heading(title, width, note, target)]


def _note(text: str, role: str) -> Piece:
    return Piece(lambda width: wrapped(text, width, role, _HEAD))


def _count(line: ShownLine, width: int) -> int:
    return line.text.count(width - _HEAD)


def _rows(line: ShownLine, target: object, width: int) -> list[Row]:
    first, *rest = line.text.lines(width - _HEAD)
    head = f" {line.number:>5}  "
    return [
        Row(((head, "faint"), (first, "")), target),
        *(Row(((" " * len(head), ""), (text, "")), target) for text in rest),
    ]


def _lines_to_show(count: int, cited: set[int], most: int) -> list[int]:
    if count <= most:
        return list(range(1, count + 1))
    first = most * MAX_FIRST // (MAX_FIRST + MAX_LAST)
    shown = {*range(1, first + 1), *range(count - (most - first) + 1, count + 1)}
    for line in cited:
        shown.update(range(max(1, line - AROUND), min(count, line + AROUND) + 1))
    return sorted(shown)


def _cited_lines(view: RunView) -> dict[str, set[int]]:
    """Return the lines of each log that the diagnosis cites."""
    found: dict[str, set[int]] = {}
    for hypothesis in view.diagnosis.hypotheses[:20] if view.diagnosis else []:
        opinion = hypothesis.opinion
        more = (*opinion.evidence[:50], *opinion.contrary[:50]) if opinion else ()
        for entry in (*hypothesis.evidence[:50], *hypothesis.contrary[:50], *more):
            try:
                link = parse_link(entry.link)
            except TriageError:
                continue
            if link.kind == "log" and link.line:
                found.setdefault(link.id, set()).add(link.line)
    return found
