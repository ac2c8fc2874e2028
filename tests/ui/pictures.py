"""What the app shows as text: characters, and below them the colours of each row in short.

A tenth of the size of an SVG, and a difference can be read. The colours of a row are runs of cells of one
style: `b12 a68` is twelve cells of style b and 68 of style a, which the list at the end tells.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.app import App

_ATTRIBUTES = ("bold", "dim", "italic", "underline", "reverse", "strike")


def picture(app: App[None]) -> str:
    """Return the whole screen, with what lies over it."""
    width, height = app.size
    console = Console(
        width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    drawn: Any = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    rows = list(Segment.split_lines(s for s in console.render(drawn) if not s.control))[:height]
    names: dict[str, str] = {}
    text = ["".join(segment.text for segment in row).rstrip() for row in rows]
    colours = [" ".join(_runs(row, names)) for row in rows]
    legend = [f"{short} = {style}" for style, short in names.items()]
    return "\n".join([*text, "-" * width, *colours, "-" * width, *legend, ""])


def _runs(row: Iterable[Segment], names: dict[str, str]) -> Iterable[str]:
    for style, segments in groupby(row, lambda segment: _told(segment.style)):
        short = names.setdefault(style, _short(len(names)))
        yield f"{short}{sum(segment.cell_length for segment in segments)}"


def _told(style: Style | None) -> str:
    if style is None:
        return "none"
    colours = [colour.get_truecolor().hex if colour else "-" for colour in (style.color, style.bgcolor)]
    return " ".join([*colours, *(name for name in _ATTRIBUTES if getattr(style, name))])


def _short(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return letters[number % 26] if number < 26 else _short(number // 26 - 1) + letters[number % 26]
