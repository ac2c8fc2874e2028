"""Damage unwind tables of real programs."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence

from elftools.elf.elffile import ELFFile

_SECTIONS = (".eh_frame", ".eh_frame_hdr", ".debug_frame", ".ARM.exidx", ".ARM.extab")


def table_ranges(data: bytes) -> list[range]:
    """Return where an ELF file holds its unwind tables."""
    found = [ELFFile(io.BytesIO(data)).get_section_by_name(name) for name in _SECTIONS]
    return [range(one["sh_offset"], one["sh_offset"] + one["sh_size"]) for one in found if one is not None]


def damaged(data: bytes, ranges: Sequence[range], source: random.Random) -> bytes:
    """Return the file with some bytes of the ranges changed: none, one, a few or many of each."""
    result = bytearray(data)
    for part in ranges:
        for _ in range(source.choice((0, 1, 20, len(part) // 50))):
            result[source.choice(part)] = source.choice((0, 0x7F, 0x80, 0xFF, source.randrange(256)))
    return bytes(result)
