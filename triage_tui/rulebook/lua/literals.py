"""Write bytes as a Lua literal: guest paths and file contents are hostile and must never be code."""

from __future__ import annotations

_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')


def lua_string(data: bytes) -> str:
    """Return a Lua string literal that means exactly `data`.

    Printable ASCII stands for itself; everything else is written as a backslash and three digits, so that a
    digit that follows cannot become part of the escape.
    """
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03d}" for byte in data) + '"'
