"""Strings and pointers in the data of a file."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from triage_tui.binary.elf_layout import ElfLayout
from triage_tui.binary.index_model import Text

MIN_TEXT = 4
"""Characters from which on bytes are taken for a string."""
MAX_TEXT = 1024
MAX_TEXTS = 200_000
MAX_POINTERS = 200_000

_TEXT = re.compile(
    rb"(?:[\x20-\x7e\t\n\r]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}){%d,}+" % MIN_TEXT
)
"""A run of text. It gives nothing back: megabytes of it without a zero behind are gone over once."""


def texts_of(layout: ElfLayout) -> list[Text]:
    """Return the strings that end in a zero, by address."""
    found: list[Text] = []
    for one in layout.other:
        end = one.offset + one.end - one.start
        for match in _TEXT.finditer(layout.data, one.offset, end):
            if match.end() >= end or layout.data[match.end()]:
                continue
            raw = layout.data[match.start() : min(match.end(), match.start() + MAX_TEXT)]
            address = one.start + match.start() - one.offset
            found.append(Text(address, raw.decode("utf-8", "backslashreplace")))
            if len(found) >= MAX_TEXTS:
                return found
    return found


def pointers_of(layout: ElfLayout) -> Iterator[tuple[int, int]]:
    """Yield (place, value) of the words in data that are addresses of the file's code, by place."""
    low = min((one.start for one in layout.code), default=0)
    high = max((one.end for one in layout.code), default=0)
    size = layout.word_size
    form = ("<" if layout.little else ">") + ("Q" if size == 8 else "I")
    count = 0
    seen = layout.words
    for one in layout.other:
        if one.code or layout.all_pointers:
            # A segment of which nothing is known but that it is executed too; or every pointer is known.
            continue
        skip = -one.start % size
        raw = layout.data[one.offset + skip : one.offset + one.end - one.start]
        for index, (value,) in enumerate(struct.iter_unpack(form, raw[: len(raw) // size * size])):
            place = one.start + skip + index * size
            if low <= value < high and place not in seen:
                yield place, value
                count += 1
                if count >= MAX_POINTERS:
                    return
    for place, value in seen.items():
        if low <= value < high:
            yield place, value
