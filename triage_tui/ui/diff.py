"""The difference between an active rule and a proposed one, as data: the core of the review."""

from __future__ import annotations

from typing import NamedTuple

from triage_tui.text import safe_block
from triage_tui.ui.highlight import lua_lines
from triage_tui.ui.rows import Part

MAX_LINES = 4000
"""Lines of a rule file that are compared; a longer file is shown as all new."""


class DiffLine(NamedTuple):
    """One line: "+", "-" or " ", its number in the old and in the new text (0 = not there), its colours."""

    sign: str
    old: int
    new: int
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The line without its sign."""
        return "".join(text for text, _ in self.parts)


def _lines(text: str) -> list[str]:
    return safe_block(text.removesuffix("\n"), max_lines=MAX_LINES).split("\n") if text else []


def diff_lines(old: str, new: str) -> list[DiffLine]:
    """Return every line of both texts, unchanged ones once; both are made safe first."""
    before, after = _lines(old), _lines(new)
    old_parts, new_parts = lua_lines(before) if before else [], lua_lines(after) if after else []
    if not before or len(before) >= MAX_LINES or len(after) >= MAX_LINES:
        return [DiffLine("+", 0, n, parts) for n, parts in enumerate(new_parts, 1)]
    from difflib import SequenceMatcher

    lines: list[DiffLine] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [DiffLine(" ", i + 1, j1 + i - i1 + 1, old_parts[i]) for i in range(i1, i2)]
            continue
        lines += [DiffLine("-", i + 1, 0, old_parts[i]) for i in range(i1, i2)]
        lines += [DiffLine("+", 0, j + 1, new_parts[j]) for j in range(j1, j2)]
    return lines
