"""Write values as Lua literals: guest paths and file contents are hostile bytes and must never be code."""

from __future__ import annotations

import re

from triage_tui.rulebook.lua.literals import lua_string

_BACKSLASHED = re.compile(r"\\x([89a-f][0-9a-f])")


def lua_long_string(data: bytes, width: int = 96) -> str:
    """Return the same for long texts: one literal per line of `data`, joined with `..`."""
    if len(data) <= width:
        return lua_string(data)
    lines = data.splitlines(keepends=True)
    parts = [line[start : start + width] for line in lines for start in range(0, len(line), width)]
    # Lua limits how deep an expression nests, so the parts are joined by table.concat and not by `..`.
    body = ",\n".join(f"  {lua_string(part)}" for part in parts)
    return "table.concat({\n" + body + ",\n})"


def guest_bytes(text: str) -> bytes:
    """Return the bytes that the guest wrote for a text of the run record.

    The record keeps UTF-8 as it is and other bytes as backslash escapes ("\\xff").
    """
    parts: list[bytes] = []
    position = 0
    for match in _BACKSLASHED.finditer(text):
        parts.append(text[position : match.start()].encode("utf-8", "surrogateescape"))
        parts.append(bytes([int(match[1], 16)]))
        position = match.end()
    parts.append(text[position:].encode("utf-8", "surrogateescape"))
    return b"".join(parts)
