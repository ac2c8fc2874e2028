"""What an ELF file says about its own code: segments, functions, imported names.

Format: System V gABI chapters 4 and 5, the processor supplements for PLT and GOT. The file may be stripped,
damaged or made to harm: sizes are bounded, sections are never decompressed, and what cannot be read is
missing from the result, with a few words in `problem`.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import lzma
import struct
from collections.abc import Iterator
from typing import Any

import msgspec
from elftools.elf.elffile import ELFFile

from triage_tui.binary.linkage import Linkage, read_linkage
from triage_tui.binary.unwind_tables import UnwindTables, read_unwind_tables

MAX_FILE = 128 << 20
"""Largest file that is read, in bytes."""
MAX_SYMBOLS = 400_000
MAX_SECTIONS = 8192
MAX_SEGMENTS = 1024
MAX_DEBUG_DATA = 32 << 20
"""Largest uncompressed `.gnu_debugdata`, in bytes."""
MAX_NAME = 512
"""Longest symbol name kept, in bytes."""

_STT_OBJECT, _STT_FUNC, _STT_GNU_IFUNC = 1, 2, 10


class Segment(msgspec.Struct, frozen=True):
    """One PT_LOAD segment; addresses are the file's own."""

    vaddr: int
    offset: int
    file_size: int
    memory_size: int
    executable: bool


class Symbol(msgspec.Struct, frozen=True):
    """A function or object [start, end), the Thumb bit removed; addresses are the file's own."""

    start: int
    end: int
    name: str
    is_function: bool = True
    thumb: bool = False
    sized: bool = True
    """The file says where it ends; otherwise that is at most where another one begins."""


class ElfImage(msgspec.Struct):
    """One ELF file, parsed once."""

    sha256: str
    machine: int = 0
    bits: int = 32
    little_endian: bool = True
    entry: int = 0
    segments: list[Segment] = msgspec.field(default_factory=list)
    symbols: list[Symbol] = msgspec.field(default_factory=list)
    """Ordered by start."""
    linkage: Linkage = msgspec.field(default_factory=Linkage)
    """Names that the dynamic linker fills in."""
    thumb_marks: list[tuple[int, str]] = msgspec.field(default_factory=list)
    """ARM mapping symbols (address, "a" | "t" | "d"), ordered."""
    unwind: UnwindTables = msgspec.field(default_factory=UnwindTables)
    """How to get from one frame to the next, where the file says it."""
    has_table: bool = False
    """It has a symbol table (`.symtab`), not only the names that the dynamic linker needs."""
    problem: str = ""
    """Why the file could not be read in full, or empty."""
    _starts: list[int] = msgspec.field(default_factory=list)

    def symbol_at(self, vaddr: int, *, functions_only: bool = False) -> Symbol | None:
        """Return the symbol that holds the file address `vaddr`, or None."""
        if not self._starts and self.symbols:
            self._starts = [symbol.start for symbol in self.symbols]
        index = bisect.bisect_right(self._starts, vaddr) - 1
        # Objects and functions may be interleaved: a few steps back are enough to find the holder.
        for symbol in reversed(self.symbols[max(0, index - 8) : index + 1]):
            if symbol.start <= vaddr < symbol.end and (symbol.is_function or not functions_only):
                return symbol
        return None

    def thumb_at(self, vaddr: int) -> bool | None:
        """Return whether ARM code at `vaddr` is Thumb, or None if the symbols do not say."""
        index = bisect.bisect_right(self.thumb_marks, (vaddr, "~")) - 1
        if index >= 0:
            return self.thumb_marks[index][1] == "t"
        symbol = self.symbol_at(vaddr, functions_only=True)
        return symbol.thumb if symbol else None

    def vaddr_of_offset(self, offset: int) -> int | None:
        """Return the file address of the byte that lies at `offset` in the file and is loaded, or None."""
        for segment in self.segments:
            # The kernel maps whole pages: bytes before the segment on its first page are there too.
            low = segment.offset & ~0xFFF
            if low <= offset < max(segment.offset + segment.file_size, low + 1):
                return segment.vaddr + offset - segment.offset
        return None

    def segment_at(self, vaddr: int) -> Segment | None:
        """Return the segment on whose pages the file address `vaddr` lies, or None."""
        for segment in self.segments:
            if segment.vaddr & ~0xFFF <= vaddr < segment.vaddr + segment.memory_size + 0xFFF & ~0xFFF:
                return segment
        return None

    def is_executable(self, vaddr: int) -> bool:
        """Say whether the file loads `vaddr` as code."""
        segment = self.segment_at(vaddr)
        return segment is not None and segment.executable


def _raw_symbols(
    data: bytes, offset: int, size: int, names: bytes, image: ElfImage
) -> Iterator[tuple[bytes, int, int, int, int]]:
    """Yield (name, value, size, info, section index) of a symbol table in `data`."""
    order = "<" if image.little_endian else ">"
    layout = struct.Struct(order + ("IBBHQQ" if image.bits == 64 else "IIIBBH"))
    count = min(max(size, 0) // layout.size, MAX_SYMBOLS)
    table = data[offset : offset + count * layout.size]
    for fields in layout.iter_unpack(table[: len(table) // layout.size * layout.size]):
        if image.bits == 64:
            at, info, _other, section, value, length = fields
        else:
            at, value, length, info, _other, section = fields
        end = names.find(b"\0", at, at + MAX_NAME)
        yield names[at : end if end >= 0 else at + MAX_NAME], value, length, info, section


def _tables(elf: Any, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (offset, size, string table) of .symtab and .dynsym."""
    if elf.num_sections() > MAX_SECTIONS:
        return
    for section in elf.iter_sections():
        if section["sh_type"] in ("SHT_SYMTAB", "SHT_DYNSYM"):
            strings = elf.get_section(section["sh_link"])
            start = strings["sh_offset"]
            yield section["sh_offset"], section["sh_size"], data[start : start + strings["sh_size"]]


def _better(name: str, other: str) -> bool:
    """Prefer the plain name among aliases."""
    return (name.startswith("_"), len(name), name) < (other.startswith("_"), len(other), other)


def _debug_data(elf: Any, data: bytes) -> bytes | None:
    """Return the ELF file in `.gnu_debugdata`, the symbols that a distribution leaves in a stripped program.

    See "MiniDebugInfo" in the manual of gdb. The text is LZMA and may be made to explode: both the result
    and the decoder's memory are bounded.
    """
    section = elf.get_section_by_name(".gnu_debugdata") if elf.num_sections() <= MAX_SECTIONS else None
    if section is None:
        return None
    raw = data[section["sh_offset"] : section["sh_offset"] + section["sh_size"]]
    plain = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=128 << 20).decompress(raw, MAX_DEBUG_DATA)
    return plain if plain[:4] == b"\x7fELF" else None


def _all_tables(elf: Any, data: bytes) -> Iterator[tuple[bytes, int, int, bytes]]:
    """Yield (content, offset, size, string table) of all symbol tables, those of the debug data included."""
    for offset, size, names in _tables(elf, data):
        yield data, offset, size, names
    inner = _debug_data(elf, data)
    if inner is not None:
        for offset, size, names in _tables(ELFFile(io.BytesIO(inner)), inner):
            yield inner, offset, size, names


def _collect_symbols(elf: Any, content: bytes, image: ElfImage) -> None:
    found: dict[tuple[int, bool], Symbol] = {}
    marks: set[tuple[int, str]] = set()
    for data, offset, size, names in _all_tables(elf, content):
        for raw, value, length, info, section in _raw_symbols(data, offset, size, names, image):
            if section == 0 or not raw:
                continue
            if image.machine == 40 and raw[:2] in (b"$a", b"$t", b"$d") and raw[2:3] in (b"", b"."):
                marks.add((value, chr(raw[1])))
                continue
            kind = info & 15
            if kind not in (_STT_OBJECT, _STT_FUNC, _STT_GNU_IFUNC) or not value:
                continue
            is_function = kind != _STT_OBJECT
            thumb = image.machine == 40 and is_function and bool(value & 1)
            start = value & ~1 if thumb else value
            name = raw.decode("utf-8", "backslashreplace")
            known = found.get((start, is_function))
            if known is None or _better(name, known.name):
                end = start + max(length, known.end - known.start if known else 0)
                found[start, is_function] = Symbol(start, end, name, is_function, thumb)
    image.symbols = _with_ends(sorted(found.values(), key=lambda symbol: (symbol.start, symbol.is_function)))
    image.thumb_marks = sorted(marks)


def _with_ends(symbols: list[Symbol]) -> list[Symbol]:
    """Let a function without a size (hand-written code) reach to the next symbol, at most 4 KiB."""
    result = []
    for i, symbol in enumerate(symbols):
        if symbol.end == symbol.start:
            following = symbols[i + 1].start if i + 1 < len(symbols) else symbol.start + 4096
            end = min(following, symbol.start + 4096)
            symbol = Symbol(symbol.start, end, symbol.name, symbol.is_function, symbol.thumb, sized=False)
        result.append(symbol)
    return result


def _segments(elf: Any) -> list[Segment]:
    if elf.num_segments() > MAX_SEGMENTS:
        return []
    return [
        Segment(s["p_vaddr"], s["p_offset"], s["p_filesz"], s["p_memsz"], bool(s["p_flags"] & 1))
        for s in elf.iter_segments()
        if s["p_type"] == "PT_LOAD"
    ]


def _parse(digest: str, data: bytes) -> ElfImage:
    image = ElfImage(digest)
    # pyelftools raises whatever its parsers meet in a damaged file (ELFError, struct.error, KeyError,
    # UnicodeDecodeError, RecursionError ...): none of it may reach the user, all of it means the same.
    try:
        elf = ELFFile(io.BytesIO(data))
        image.machine = struct.unpack_from("<H" if elf.little_endian else ">H", data, 18)[0]
        image.bits = elf.elfclass
        image.little_endian = elf.little_endian
        image.entry = elf.header["e_entry"] & (~1 if image.machine == 40 else -1)
        image.segments = _segments(elf)
    except Exception as error:
        image.problem = f"no readable ELF file ({type(error).__name__})"
        return image
    try:
        _collect_symbols(elf, data, image)
    except Exception as error:
        image.problem = f"its symbol tables are damaged ({type(error).__name__})"
    try:
        sections = elf.iter_sections() if elf.num_sections() <= MAX_SECTIONS else ()
        image.has_table = any(
            one["sh_type"] == "SHT_SYMTAB" or one.name == ".gnu_debugdata" for one in sections
        )
    except Exception as error:
        image.problem = image.problem or f"its section headers are damaged ({type(error).__name__})"
    try:
        image.linkage = read_linkage(elf, data, image.machine)
    except Exception as error:
        image.problem = image.problem or f"its dynamic section is damaged ({type(error).__name__})"
    try:
        image.unwind = read_unwind_tables(elf, data, image.machine)
    except Exception as error:
        image.problem = image.problem or f"its unwind tables are damaged ({type(error).__name__})"
    return image


_MAX_CACHED = 64
_cache: dict[str, ElfImage] = {}


def parse_image(data: bytes) -> ElfImage:
    """Return what the ELF file in `data` says; parsed once per content, never failing."""
    digest = hashlib.sha256(data).hexdigest()
    image = _cache.get(digest)
    if image is None:
        image = _parse(digest, data)
        while len(_cache) >= _MAX_CACHED:
            # Several threads may do this at once; each removes at most what another one has left.
            _cache.pop(next(iter(_cache), ""), None)
        _cache[digest] = image
    return image
