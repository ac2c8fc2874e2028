"""Selecting text with the mouse: what is dragged over is marked, and copied when the button is let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.cells import cell_len

from triage_tui.ui.rows import Marks, Rows

if TYPE_CHECKING:
    from triage_tui.ui.widgets.mouse_lines import MouseLines

MOST_ROWS = 2000
"""Rows of one selection; the clipboard of a terminal takes no more."""

Spot = tuple[int, int]
"""Row and cell."""


class Drag(msgspec.Struct):
    """A button held down in a list: where it went down, and where the pointer is."""

    start: Spot
    end: Spot

    @property
    def moved(self) -> bool:
        """Whether something is selected."""
        return self.start != self.end

    def spans(self, rows: Rows) -> dict[int, tuple[int, int]]:
        """Return the selected cells of each row: [first, behind last)."""
        (first, left), (last, right) = sorted((self.start, self.end))
        last = min(last, first + MOST_ROWS, len(rows) - 1)
        found: dict[int, tuple[int, int]] = {}
        for index in range(max(0, first), last + 1):
            width = cell_len(rows.row(index).text)
            begin = left if index == first else 0
            end = right + 1 if index == last else width
            found[index] = (min(begin, width), min(end, width))
        return found


def marks(drag: Drag, rows: Rows) -> Marks:
    """Return what is highlighted while the button is held."""
    return {index: span for index, span in drag.spans(rows).items() if span[0] < span[1]}


def selected_text(drag: Drag, rows: Rows) -> str:
    """Return the selected text, lines without blanks at their end."""
    spans = drag.spans(rows)
    return "\n".join(cells(rows.row(index).text, *span).rstrip() for index, span in spans.items()).strip("\n")


def cells(text: str, first: int, end: int) -> str:
    """Return what stands in cells [first, end) of a line; a wide character counts where it begins."""
    parts: list[str] = []
    at = 0
    for character in text:
        if at >= end and cell_len(character):
            break
        if at >= first:
            parts.append(character)
        at += cell_len(character)
    return "".join(parts)


def spot_at(view: MouseLines, x: int, y: int) -> Spot:
    """Return the row and the cell at a place in the widget, the nearest one when it is outside."""
    region = view.scrollable_content_region
    row = max(-1, min(y, region.height)) + view.scroll_offset.y
    cell = max(0, min(x, region.width - 1)) + view.scroll_offset.x
    return max(0, min(row, len(view.rows) - 1)), cell
