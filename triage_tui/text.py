"""The one door from untrusted bytes to displayable text.

Guest output, paths, memory, symbol names, model output and run directories may hold terminal control
sequences, bidirectional overrides, invisible characters, invalid UTF-8 and megabytes without a line break.
Everything that reaches a widget, a log, a title, the clipboard or an export passes through here. The result
holds printable characters only; what was not printable is shown as a visible escape, so that what is copied
is what is shown.

Signs of state and lines of frames are the program's own: in text from outside they are escapes too, so that
no guest, model or foreign record draws a proposal that looks approved, a question or a key. Text that the
program has put together itself goes through `shown_line` or `shown_block`, which leave its signs.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

MAX_LINE = 4096
"""Characters kept of one line unless the caller says otherwise."""

_FEW = 8
"""Numbers that are named in a sentence."""

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
# Signs that say something on a screen of ours, those that look like them, and what changes the width or the
# colour of the character before it.
_SIGN_RANGES = (
    (0x2022, 0x2022),  # bullet
    (0x2219, 0x221A),  # bullet operator, square root
    (0x2300, 0x23FF),  # keys, media signs
    (0x2500, 0x27BF),  # frames, blocks, geometric shapes, miscellaneous, check marks
    (0x2800, 0x28FF),  # Braille patterns
    (0x2B00, 0x2BFF),  # more shapes
    (0x2E3A, 0x2E3B),  # dashes of several cells
    (0xFDFD, 0xFDFD),  # a ligature of many cells
    (0xFFE8, 0xFFEE),  # halfwidth shapes
    (0x12000, 0x1254F),  # cuneiform: wider than any terminal takes it for
    (0x1F100, 0x1F1FF),  # letters in boxes, flags
    (0x1F3FB, 0x1F3FF),  # skin tones
    (0x1F518, 0x1F518),  # radio button
    (0x1F532, 0x1F53D),  # buttons, circles
    (0x1F5F4, 0x1F5F9),  # ballot marks
    (0x1F6D1, 0x1F6D1),  # stop sign
    (0x1F780, 0x1F7FF),  # more geometric shapes
    (0x1FB00, 0x1FBFF),  # blocks of old terminals
)
_SIGNS = frozenset(code for first, last in _SIGN_RANGES for code in range(first, last + 1))
# Vowels and finals of decomposed Hangul: they take no room of their own.
_JOINING = frozenset((*range(0x1160, 0x1200), *range(0xD7B0, 0xD800)))
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


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M" or ord(char) in _JOINING


def safe_line(data: bytes | str, limit: int = MAX_LINE) -> str:
    """Return text from outside as one printable line of at most `limit` characters, without our signs.

    Line breaks and tabs become visible escapes. A cut is marked with the number of characters left out.
    """
    return _line(data, limit)


def shown_line(text: str, limit: int = MAX_LINE) -> str:
    """Return a text of the program's own as `safe_line` does, but with its signs.

    What in it came from outside has been through `safe_line`: this is the second door behind that.
    """
    return _line(text, limit, signs=True)


@functools.lru_cache(maxsize=1 << 13)
def _shown(char: str, signs: bool) -> str:
    """Return what stands for a character, "" for a mark; with `signs` those of ours are left."""
    if _is_unsafe(char) or (not signs and ord(char) in _SIGNS):
        return _escape(char)
    return "" if _is_mark(char) else char


def _few_marks(text: str, parts: list[str]) -> list[str]:
    """Fill in the marks of a text, where `parts` has "" for them: the first few behind a character."""
    if "" not in parts:
        return parts
    marks = 0
    for index, part in enumerate(parts):
        marks = 0 if part else marks + 1
        if marks:
            char = text[index]
            parts[index] = char if marks <= MAX_MARKS and index else _escape(char)
    return parts


def _line(data: bytes | str, limit: int, signs: bool = False) -> str:
    text = _decode(data[: limit * 4] if isinstance(data, bytes) else data[: limit + 1])
    total = len(data)
    if text.isascii() and text.isprintable():
        out = text
    else:
        parts = [_shown(char, signs) for char in text]
        out = "".join(_few_marks(text, parts))
    if len(out) > limit or total > len(text):
        # The count is of input units not shown in full: a lower bound is honest enough for a mark.
        out = out[: max(0, limit - 12)] + f"…(+{max(1, total - limit + 12)})"
    return out


def safe_block(data: bytes | str, max_lines: int = 10_000, limit: int = MAX_LINE) -> str:
    """Return `data` as printable lines: line breaks are kept, tabs become spaces, the rest as `safe_line`.

    At most `max_lines` lines are kept; a last line says how many were left out.
    """
    return _block(data, max_lines, limit)


def shown_block(text: str, max_lines: int = 10_000, limit: int = MAX_LINE) -> str:
    """Return lines of the program's own as `safe_block` does, but with their signs; see `shown_line`."""
    return _block(text, max_lines, limit, signs=True)


def _block(data: bytes | str, max_lines: int, limit: int, signs: bool = False) -> str:
    text = _decode(data)
    lines = text.split("\n")
    kept = [_line(line.removesuffix("\r").replace("\t", "    "), limit, signs) for line in lines[:max_lines]]
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


def few(numbers: Sequence[int]) -> str:
    """Return the first numbers of some in a sentence: "1, 2, 3", " ..." where there are more, "none"."""
    return (", ".join(map(str, numbers[:_FEW])) + (" ..." if len(numbers) > _FEW else "")) or "none"


def number_of(count: int, one: str, many: str = "") -> str:
    """Return "1 line" or "3 lines"; `many` is the plural where it is not `one` with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"
