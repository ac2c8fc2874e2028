"""Where code and data of an ELF file lie, and its bytes by address. Sizes that lie are cut."""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from triage_tui.binary.symbols import MAX_SECTIONS, ElfImage

MAX_CODE = 64 << 20
"""Bytes of code that are gone over."""
_MAX_RANGES = 256
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_LINKAGE_SECTIONS = (".plt", ".iplt", ".MIPS.stubs", ".glink")


class Range(msgspec.Struct, frozen=True, order=True):
    """Bytes of the file at file addresses [start, end)."""

    start: int
    end: int
    offset: int
    code: bool = False
    linkage: bool = False
    """It holds the stubs of imported functions, or the words that linkers fill in (GOT)."""


@dataclass
class ElfLayout:
    """The loaded bytes of one file."""

    data: bytes
    loaded: list[Range]
    """Everything that is in the file, by segment."""
    code: list[Range]
    other: list[Range]
    """What is loaded and no code, as far as that is known."""
    little: bool
    word_size: int
    words: dict[int, int] = field(default_factory=dict)
    """Place -> value of words that stand in the relocations."""
    all_pointers: bool = False
    """No other word is an address of the file."""

    def __post_init__(self) -> None:
        self._starts = [one.start for one in self.loaded]
        self._word = struct.Struct(("<" if self.little else ">") + ("Q" if self.word_size == 8 else "I"))
        self._code_starts = [one.start for one in self.code]

    @property
    def low(self) -> int:
        """The lowest address that can be meant by a value."""
        return max(min((one.start for one in self.loaded), default=0), 0x100)

    @property
    def high(self) -> int:
        """The address behind the last byte."""
        return max((one.end for one in self.loaded), default=0)

    def offset_of(self, address: int) -> tuple[int, int] | None:
        """Return (place in the file, bytes from there on) of an address, or None."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        one = self.loaded[index]
        return (one.offset + address - one.start, one.end - address) if address < one.end else None

    def read(self, address: int, size: int) -> bytes:
        """Return bytes at an address, fewer where they end."""
        place = self.offset_of(address)
        return b"" if place is None else self.data[place[0] : place[0] + min(size, place[1])]

    def word(self, address: int) -> int | None:
        """Return the machine word at an address as it is after relocation within the file, or None."""
        value = self.words.get(address)
        if value is not None:
            return value
        place = self.offset_of(address)
        if place is None or place[1] < self.word_size:
            return None
        return int(self._word.unpack_from(self.data, place[0])[0])

    def code_at(self, address: int) -> Range | None:
        """Return the range of code that holds an address, or None."""
        index = bisect.bisect_right(self._code_starts, address) - 1
        return self.code[index] if index >= 0 and address < self.code[index].end else None


def read_layout(elf: Any, data: bytes, image: ElfImage, word_size: int) -> ElfLayout:
    """Return the layout of an ELF file. May raise anything for a damaged one."""
    loaded = _separate(
        Range(one.vaddr, one.vaddr + min(one.file_size, len(data) - one.offset), one.offset, one.executable)
        for one in image.segments
        if 0 <= one.offset < len(data)
    )
    sections = _sections(elf, loaded, len(data))
    code = [one for one in sections if one.code]
    other = [one for one in sections if not one.code]
    if not code:
        # Without section headers tables and strings may lie between the code.
        code = [one for one in loaded if one.code]
        other = list(loaded)
    return ElfLayout(data, loaded, _limited(code), other, image.little_endian, word_size)


def _sections(elf: Any, loaded: list[Range], size: int) -> list[Range]:
    """Return the sections that are loaded from the file and lie in a segment as they say."""
    if elf.num_sections() > MAX_SECTIONS:
        return []
    found = []
    for section in elf.iter_sections():
        start, offset, length = section["sh_addr"], section["sh_offset"], section["sh_size"]
        if not section["sh_flags"] & _SHF_ALLOC or section["sh_type"] == "SHT_NOBITS" or not length:
            continue
        inside = any(
            one.start <= start and start + length <= one.end and offset - one.offset == start - one.start
            for one in loaded
        )
        if inside and offset + length <= size:
            code = bool(section["sh_flags"] & _SHF_EXECINSTR)
            linkage = section.name.startswith(_LINKAGE_SECTIONS if code else ".got")
            found.append(Range(start, start + length, offset, code, linkage))
    return _separate(found)


def _separate(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges in order, each cut where another one began before."""
    found: list[Range] = []
    end = 0
    for one in sorted(ranges)[:_MAX_RANGES]:
        start = max(one.start, end)
        if start < one.end:
            found.append(Range(start, one.end, one.offset + start - one.start, one.code, one.linkage))
            end = one.end
    return found


def _limited(code: list[Range]) -> list[Range]:
    """Return the beginning of the code, at most MAX_CODE bytes of it."""
    kept, left = [], MAX_CODE
    for one in code:
        if left <= 0:
            break
        end = min(one.end, one.start + left)
        kept.append(Range(one.start, end, one.offset, True, one.linkage))
        left -= end - one.start
    return kept
