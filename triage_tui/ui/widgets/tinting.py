"""Backgrounds of parts of a line."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip


def tinted(strip: Strip, first: int, last: int, fill: Style | None) -> Strip:
    """Return a line whose cells from `first` to before `last` have the background `fill`; None = as it is."""
    start, end = max(0, first), min(last, strip.cell_length)
    if start >= end or fill is None:
        return strip
    middle = strip.crop(start, end)
    filled = Strip(
        [Segment(s.text, (s.style or Style()) + fill) for s in middle],
        cell_len("".join(s.text for s in middle)),
    )
    return Strip.join([strip.crop(0, start), filled, strip.crop(end)])
