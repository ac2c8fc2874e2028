"""The one door from untrusted bytes to displayable text.

Guest output, paths, memory, symbol names, model output and run directories may hold terminal control
sequences, bidirectional overrides, invisible characters, invalid UTF-8 and megabytes without a line break.
Everything that reaches a widget, a log, a title, the clipboard or an export passes through here. The result
holds printable characters only; what was not printable is shown as a visible escape, so that what is copied
is what is shown.
"""

from __future__ import annotations

import unicodedata

MAX_LINE = 4096
"""Characters kept of one line unless the caller says otherwise."""

MAX_MARKS = 3
"""Combining marks kept in a row; further ones are escaped (zero-width floods, stacked marks)."""

# Characters that are assigned and not controls, yet move, hide or reorder text or draw nothing.
_INVISIBLE_RANGES = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian selectors
    (0x200B, 0x200F),  # zero width, direction marks
    (0x2028, 0x202E),  # separators, direction embeddings and overrides
    (0x2060, 0x206F),  # joiners, direction isolates
    (0x2800, 0x2800),  # blank Braille pattern
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xFFF0, 0xFFFC),  # specials, interlinear annotation, object replacement
    (0xE0000, 0xE0FFF),  # tags, more variation selectors
)
_INVISIBLE = frozenset(code for first, last in _INVISIBLE_RANGES for code in range(first, last + 1))
_UNSAFE_CATEGORIES = frozenset(["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_unsafe(char: str) -> bool:
    return ord(char) in _INVISIBLE or unicodedata.category(char) in _UNSAFE_CATEGORIES


def _decode(data: bytes | str) -> str:
    if isinstance(data, bytes):
        return data.decode("utf-8", "surrogateescape")
    return data


def safe_line(data: bytes | str, limit: int = MAX_LINE) -> str:
    """Return `data` as one printable line of at most `limit` characters.

    Line breaks and tabs become visible escapes. A cut is marked with the number of characters left out.
    """
    text = _decode(data[: limit * 4] if isinstance(data, bytes) else data[: limit + 1])
    total = len(data)
    if text.isascii() and text.isprintable():
        out = text
    else:
        parts: list[str] = []
        marks = 0
        for char in text:
            if _is_unsafe(char):
                parts.append(_escape(char))
                marks = 0
            elif unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
                marks += 1
                parts.append(char if marks <= MAX_MARKS and parts else _escape(char))
            else:
                marks = 0
                parts.append(char)
        out = "".join(parts)
    if len(out) > limit or total > len(text):
        # The count is of input units not shown in full: a lower bound is honest enough for a mark.
        out = out[: max(0, limit - 12)] + f"…(+{max(1, total - limit + 12)})"
    return out


def safe_block(data: bytes | str, max_lines: int = 10_000, limit: int = MAX_LINE) -> str:
    """Return `data` as printable lines: line breaks are kept, tabs become spaces, the rest as `safe_line`.

    At most `max_lines` lines are kept; a last line says how many were left out.
    """
    text = _decode(data)
    lines = text.split("\n")
    kept = [safe_line(line.removesuffix("\r").replace("\t", "    "), limit) for line in lines[:max_lines]]
    if len(lines) > max_lines:
        kept.append(f"…(+{len(lines) - max_lines} lines)")
    return "\n".join(kept)


def safe_name(data: bytes | str, limit: int = 80) -> str:
    """Return `data` as a file-name-safe word: letters, digits and `._-`, never empty, never dotted away."""
    text = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in _decode(data)[:limit])
    return text.lstrip(".") or "_"


def recordable(text: str) -> str:
    """Return a text of the command line or the file system without the bytes that no JSON can hold.

    Bytes that are no UTF-8 are in such texts as surrogates (PEP 383); they become backslash escapes, and so
    does every other surrogate.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return "".join(_escape(char) if "\ud800" <= char <= "\udfff" else char for char in text)
