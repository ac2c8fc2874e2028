"""The build id of an ELF file: what tells one build of a program from the next, whatever its file is called.

Formats: elf(5), and the note GNU ld writes with --build-id (NT_GNU_BUILD_ID, owner "GNU").
"""

from __future__ import annotations

import struct
from typing import Literal

HEAD = 64 << 10
"""Bytes from the start of a file in which its notes are looked for."""
MAPPED_HEAD = 4096
"""The same of a mapped file: its first page, which linkers put the notes into."""
MAX_FILE = 64 << 20
"""Bytes of a file that is told by its hash."""
_NOTE, _BUILD_ID = 4, 3
_MAX_HEADERS = 64


def build_id(data: bytes) -> str:
    """Return the build id in the first bytes of an ELF file as hexadecimal digits, "" where it has none."""
    if len(data) < 64 or not data.startswith(b"\x7fELF") or data[4] not in (1, 2) or data[5] not in (1, 2):
        return ""
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    for index in range(min(count, _MAX_HEADERS)):
        at = table + index * size
        if at + (56 if wide else 32) > len(data):
            break
        if struct.unpack_from(order + "I", data, at)[0] == _NOTE:
            word = "Q" if wide else "I"
            (offset,) = struct.unpack_from(order + word, data, at + (8 if wide else 4))
            (length,) = struct.unpack_from(order + word, data, at + (32 if wide else 16))
            found = _in_notes(data[offset : offset + min(length, HEAD)], "little" if order == "<" else "big")
            if found:
                return found
    return ""


def _in_notes(notes: bytes, order: Literal["little", "big"]) -> str:
    at = 0
    while at + 12 <= len(notes):
        owner, content, kind = (
            int.from_bytes(notes[at + place : at + place + 4], order) for place in (0, 4, 8)
        )
        begin = at + 12 + (owner + 3 & -4)
        if kind == _BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0":
            return notes[begin : begin + min(content, 64)].hex()
        at = begin + (content + 3 & -4)
    return ""
