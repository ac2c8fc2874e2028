"""Split the text that the emulator's log has of a call's arguments."""

from __future__ import annotations

import re

_PUNCTUATION = re.compile(rb'"[^"]*(?:"(?! *(?:[,)}\]]|\.\.\.|\Z))[^"]*)*(?:"|\Z)|[{}\[\](),]')
"""A string, which ends only at a quote behind which an argument can end, or a character that may divide."""
_NEEDS_CARE = re.compile(rb"[\"{}\[\](]")


def split_arguments(text: bytes, limit: int = 8) -> list[bytes]:
    """Split a call's argument text at commas that are outside quotes and brackets.

    Strings are not escaped in the log; one that holds a quote and then a comma or a closing bracket may be
    split in the wrong place.
    """
    if not _NEEDS_CARE.search(text):
        return [part.strip() for part in text.split(b",", limit - 1)] if text else []
    parts: list[bytes] = []
    depth = 0
    start = 0
    for found in _PUNCTUATION.finditer(text):
        char = found[0]
        if char == b",":
            if depth == 0 and len(parts) < limit - 1:
                parts.append(text[start : found.start()].strip())
                start = found.end()
        elif char in b"{[(":
            depth += 1
        elif char in b"}])":
            depth = max(0, depth - 1)
    if text[start:] or parts:
        parts.append(text[start:].strip())
    return parts


def unquote(argument: bytes) -> bytes | None:
    """Return the string of an argument that is one, else None."""
    if len(argument) >= 2 and argument[:1] == b'"' and argument[-1:] == b'"':
        return argument[1:-1]
    return None
