"""Lay out a C structure as the psABI of an architecture does: which bytes are which field.

A declaration is "name kind, name kind"; kinds are i8 u8 ... i64 u64, long and ulong (a word), ptr, and b16
for 16 bytes. A field is aligned to its own size, except that i386 aligns 64-bit numbers to 4 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

Kind = Literal["signed", "unsigned", "address", "bytes"]

_FIELD = re.compile(r"([A-Za-z_]\w*) ([iu](?:8|16|32|64)|u?long|ptr|b[1-9]\d{0,4})")


class Field(msgspec.Struct, frozen=True):
    """One field: bytes from the structure's begin, bytes of it, and how to read them."""

    offset: int
    size: int
    kind: Kind


class Layout(msgspec.Struct, frozen=True):
    """One structure. `size` is in bytes, padding at the end included."""

    size: int
    fields: dict[str, Field]


def lay_out(declaration: str, arch: str, word: int, *, words_in_bytes: bool = False) -> Layout:
    """Return the layout of a structure on an architecture, by QEMU's name, whose words have `word` bytes.

    `words_in_bytes`: fields of bytes that are long enough hold words, and are aligned as such.

    Raises:
        ValueError: the declaration is not of the form above.
    """
    offset, widest = 0, 1
    fields: dict[str, Field] = {}
    for name, size, align, kind in _parse(declaration, arch, word):
        if words_in_bytes and kind == "bytes" and size >= word:
            align = word
        offset = -(-offset // align) * align
        fields[name] = Field(offset, size, kind)
        offset += size
        widest = max(widest, align)
    return Layout(-(-offset // widest) * widest, fields)


def _parse(declaration: str, arch: str, word: int) -> Iterator[tuple[str, int, int, Kind]]:
    """Yield (name, size, alignment, kind) of each field."""
    for declared in declaration.split(", "):
        match = _FIELD.fullmatch(declared)
        if match is None:
            raise ValueError(f"{declared!r} is not NAME KIND, such as 'size u32'")
        name, kind = match.groups()
        if kind[0] == "b":
            yield name, int(kind[1:]), 1, "bytes"
        elif kind in ("long", "ulong", "ptr"):
            which: Kind = "address" if kind == "ptr" else "signed" if kind == "long" else "unsigned"
            yield name, word, word, which
        else:
            size = int(kind[1:]) // 8
            yield (
                name,
                size,
                min(size, 4) if arch == "i386" else size,
                "signed" if kind[0] == "i" else "unsigned",
            )
