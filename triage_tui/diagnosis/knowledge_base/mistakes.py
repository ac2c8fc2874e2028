"""What is wrong with a knowledge base file: where, what, and what to do about it."""

from __future__ import annotations

from typing import Literal

import msgspec

from triage_tui.text import safe_line

MAX_MISTAKES = 200
"""Mistakes that are told of one file."""

Severity = Literal["error", "warning"]


class TooManyMistakesError(Exception):
    """A file has so many mistakes that listing more of them helps nobody."""


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong in one place. The texts may hold what the file says."""

    file: str
    line: int
    """Counted from 1; 0 where it is not known, as for a file that cannot be read."""
    entry: str = ""
    """Id of the entry, "number 3" for one without a usable id, "" for the file as a whole."""
    key: str = ""
    """Path of the key within the entry: `adjust[0].when.where.errno`."""
    what: str
    do: str = ""
    severity: Severity = "error"

    def sentence(self) -> str:
        """Return it as one printable line: file and line, entry, key, what, what to do."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = [place]
        if self.entry:
            parts.append(f"entry {self.entry}")
        if self.key:
            parts.append(f"key {self.key}")
        advice = f"; {self.do}" if self.do else ""
        return safe_line(f"{', '.join(parts)}: {self.what}{advice}", 600)
