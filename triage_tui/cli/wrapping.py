"""Break text into lines of so many cells: between words, and between characters of scripts without spaces."""

from __future__ import annotations

import re
import textwrap
from functools import cache

_NOT_FIRST = "\uff0c\u3002\uff1a\uff1b\uff1f\uff01\u3001\uff09\u201d\u300b\u2026"
"""Punctuation that does not begin a line (GB/T 15834)."""
_NOT_LAST = "\uff08\u201c\u300a"
"""Punctuation that does not end one."""
_WIDE = (
    "\u2e80-\u303f\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60"
    "\u201c\u201d\u2026"
)


@cache
def _pieces() -> re.Pattern[str]:
    # Not before a text is wrapped: of all that a short command computes, compiling it is a tenth.
    return re.compile(rf" +|[{_NOT_LAST}]*[{_WIDE}][{_NOT_FIRST}]*|[^ {_WIDE}]+[{_NOT_FIRST}]*")


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrap(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width` cells; a word that is longer stays whole."""
    if text.isascii():
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    lines: list[str] = []
    line = ""
    for piece in _pieces().findall(text):
        if line and cells(line) + cells(piece.rstrip(" ")) > width:
            lines.append(line.rstrip(" "))
            line = ""
        line += piece if line or piece.strip(" ") else ""
    return [*lines, line.rstrip(" ")] if line else lines


def padded(text: str, width: int) -> str:
    """Return a text filled up with spaces to `width` cells."""
    return text + " " * max(0, width - cells(text))
