"""Names of imported functions: which PLT entry and which GOT word stands for which symbol."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

MAX_ENTRIES = 50_000
MAX_SECTIONS = 8192
EM_386, EM_MIPS, EM_PPC, EM_PPC64, EM_S390 = 3, 8, 20, 21, 22
EM_ARM, EM_X86_64, EM_AARCH64, EM_RISCV = 40, 62, 183, 243
_PT_MIPS_REGINFO = 0x70000000


class Linkage(msgspec.Struct):
    """Imported names by file address."""

    stubs: dict[int, str] = msgspec.field(default_factory=dict)
    """PLT entry (or MIPS stub) -> symbol."""
    got: dict[int, str] = msgspec.field(default_factory=dict)
    """GOT word -> symbol."""
    gp: int | None = None
    """MIPS: the value of gp in this module."""
    table: int | None = None
    """i386: the global offset table, to which ebx points in a PLT entry; ppc64le: the value of r2."""


class _Dynamic:
    """The dynamic section by its tags, readable without section headers."""

    def __init__(self, elf: Any, data: bytes) -> None:
        self.data = data
        self.wide = elf.elfclass == 64
        self.order = "<" if elf.little_endian else ">"
        self.tags: dict[str, int] = {}
        self._loads = [
            (s["p_vaddr"], s["p_offset"], s["p_filesz"])
            for s in elf.iter_segments()
            if s["p_type"] == "PT_LOAD"
        ]
        for segment in elf.iter_segments():
            if segment["p_type"] == "PT_DYNAMIC":
                layout = struct.Struct(self.order + ("qQ" if self.wide else "iI"))
                raw = data[segment["p_offset"] : segment["p_offset"] + min(segment["p_filesz"], 65536)]
                for tag, value in layout.iter_unpack(raw[: len(raw) // layout.size * layout.size]):
                    if tag == 0:
                        break
                    self.tags.setdefault(str(_TAGS.get(tag, tag)), value)

    def offset(self, vaddr: int) -> int | None:
        for start, offset, size in self._loads:
            if start <= vaddr < start + size:
                return int(offset + vaddr - start)
        return None

    def read(self, vaddr: int, size: int) -> bytes:
        offset = self.offset(vaddr)
        return b"" if offset is None or size <= 0 else self.data[offset : offset + size]

    def symbol(self, index: int) -> tuple[str, int, int]:
        """Return (name, value, section index) of the dynamic symbol `index`; the name may be empty."""
        layout = struct.Struct(self.order + ("IBBHQQ" if self.wide else "IIIBBH"))
        raw = self.read(self.tags.get("SYMTAB", 0) + index * layout.size, layout.size)
        if len(raw) < layout.size:
            return "", 0, 0
        fields = layout.unpack(raw)
        value, section = (fields[4], fields[3]) if self.wide else (fields[1], fields[5])
        name = self.read(self.tags.get("STRTAB", 0) + fields[0], 512).split(b"\0")[0]
        return name.decode("utf-8", "backslashreplace"), value, section


_TAGS = {3: "PLTGOT", 5: "STRTAB", 6: "SYMTAB", 7: "RELA", 8: "RELASZ", 17: "REL", 18: "RELSZ"} | {
    2: "PLTRELSZ",
    20: "PLTREL",
    23: "JMPREL",
    0x7000000A: "MIPS_LOCAL_GOTNO",
    0x70000011: "MIPS_SYMTABNO",
    0x70000013: "MIPS_GOTSYM",
}
_GOT_RELOCATIONS = {
    EM_ARM: (21, 22),
    EM_AARCH64: (1025, 1026),
    EM_X86_64: (6, 7),
    EM_386: (6, 7),
    EM_RISCV: (2, 5),
    EM_PPC: (20, 21),
    EM_PPC64: (20, 21, 38),
    EM_S390: (10, 11),
    EM_MIPS: (127,),
}
"""R_*_GLOB_DAT and R_*_JUMP_SLOT (RISC-V: R_RISCV_64; PowerPC: R_PPC64_ADDR64 too; MIPS: JUMP_SLOT only)."""


def _relocations(dynamic: _Dynamic, mips: bool) -> Iterator[tuple[int, int, int]]:
    """Yield (place, type, symbol index) of all dynamic relocations."""
    tables = [("JMPREL", "PLTRELSZ", dynamic.tags.get("PLTREL") == 7), ("REL", "RELSZ", False)]
    for start, size, addend in (*tables, ("RELA", "RELASZ", True)):
        word = "Q" if dynamic.wide else "I"
        layout = struct.Struct(dynamic.order + word * (3 if addend else 2))
        length = min(dynamic.tags.get(size, 0), MAX_ENTRIES * layout.size)
        raw = dynamic.read(dynamic.tags.get(start, 0), length)
        for fields in layout.iter_unpack(raw[: len(raw) // layout.size * layout.size]):
            place, info = fields[0], fields[1]
            if not dynamic.wide:
                yield place, info & 0xFF, info >> 8
            elif mips:
                # Three types and two symbols, of which the last type and the first symbol count here.
                yield place, info >> 56, info & 0xFFFFFFFF
            else:
                yield place, info & 0xFFFFFFFF, info >> 32


MAX_RELATIVE = 400_000
"""Relocations of pointers within a file that are read."""
_RELATIVE = {
    EM_ARM: 23,
    EM_386: 8,
    EM_AARCH64: 1027,
    EM_X86_64: 8,
    EM_RISCV: 3,
    EM_PPC: 22,
    EM_PPC64: 22,
    EM_S390: 12,
}
_ABSOLUTE = {
    EM_ARM: 2,
    EM_386: 1,
    EM_AARCH64: 257,
    EM_X86_64: 1,
    EM_RISCV: 2,
    EM_PPC: 1,
    EM_PPC64: 38,
    EM_S390: 22,
}


def relocated_words(elf: Any, data: bytes, machine: int) -> dict[int, int]:
    """Return place -> value of the pointers within a file that its relocations name.

    Where relocations have addends the values stand there, elsewhere in the data. May raise anything for a
    damaged file.
    """
    words: dict[int, int] = {}
    relative, absolute = _RELATIVE.get(machine), _ABSOLUTE.get(machine)
    if relative is None or elf.num_segments() > 1024:
        return words
    dynamic = _Dynamic(elf, data)
    layout = struct.Struct(dynamic.order + ("QQq" if dynamic.wide else "IIi"))
    length = min(dynamic.tags.get("RELASZ", 0), MAX_RELATIVE * layout.size)
    raw = dynamic.read(dynamic.tags.get("RELA", 0), length)
    mask = (1 << (64 if dynamic.wide else 32)) - 1
    for place, info, addend in layout.iter_unpack(raw[: len(raw) // layout.size * layout.size]):
        kind, index = (info & 0xFFFFFFFF, info >> 32) if dynamic.wide else (info & 0xFF, info >> 8)
        if kind == relative:
            words[place] = addend & mask
        elif kind == absolute and index:
            _, value, section = dynamic.symbol(index)
            if section and value:
                words[place] = (value + addend) & mask
    return words | _words_in_data(dynamic, relative, absolute)


def _words_in_data(dynamic: _Dynamic, relative: int, absolute: int | None) -> dict[int, int]:
    """Return the same of relocations without addends."""
    words: dict[int, int] = {}
    layout = struct.Struct(dynamic.order + ("QQ" if dynamic.wide else "II"))
    word = struct.Struct(dynamic.order + ("Q" if dynamic.wide else "I"))
    length = min(dynamic.tags.get("RELSZ", 0), MAX_RELATIVE * layout.size)
    raw = dynamic.read(dynamic.tags.get("REL", 0), length)
    for place, info in layout.iter_unpack(raw[: len(raw) // layout.size * layout.size]):
        kind, index = (info & 0xFFFFFFFF, info >> 32) if dynamic.wide else (info & 0xFF, info >> 8)
        if kind != relative and (kind != absolute or not index):
            continue
        content = dynamic.read(place, word.size)
        if len(content) < word.size:
            continue
        (addend,) = word.unpack(content)
        if kind == relative:
            words[place] = addend
            continue
        _, value, section = dynamic.symbol(index)
        if section and value:
            words[place] = (value + addend) & ((1 << 8 * word.size) - 1)
    return words


def names_its_pointers(elf: Any, data: bytes, machine: int) -> bool:
    """Say whether all pointers within a file stand in its relocations: it may be loaded anywhere.

    Not so on MIPS, whose linkers leave those of the GOT out, and where relative relocations are packed
    (DT_RELR), which are not read here.
    """
    if elf["e_type"] != "ET_DYN" or machine not in _RELATIVE or elf.num_segments() > 1024:
        return False
    tags = _Dynamic(elf, data).tags
    return ("RELA" in tags or "REL" in tags) and "36" not in tags


def is_library(elf: Any, data: bytes) -> bool:
    """Say whether other files use its functions: it has a name for that (DT_SONAME), or no interpreter."""
    if elf["e_type"] != "ET_DYN":
        return False
    interpreted = any(segment["p_type"] == "PT_INTERP" for segment in elf.iter_segments())
    return not interpreted or "14" in _Dynamic(elf, data).tags


def initial_functions(elf: Any, data: bytes) -> tuple[list[int], list[tuple[int, int]]]:
    """Return what the dynamic section names: DT_INIT and DT_FINI, and (address, bytes) of their arrays."""
    dynamic = _Dynamic(elf, data)
    single = [dynamic.tags[tag] for tag in ("12", "13") if dynamic.tags.get(tag)]
    arrays = [
        (dynamic.tags[tag], min(dynamic.tags.get(size, 0), MAX_ENTRIES))
        for tag, size in (("32", "33"), ("25", "27"), ("26", "28"))
        if dynamic.tags.get(tag)
    ]
    return single, arrays


def _mips(dynamic: _Dynamic, linkage: Linkage, elf: Any) -> None:
    """MIPS: global GOT words follow the local ones, in the order of the dynamic symbols (psABI, GOT)."""
    size = 8 if dynamic.wide else 4
    got, first_global = dynamic.tags.get("PLTGOT"), dynamic.tags.get("MIPS_GOTSYM", 0)
    if got is not None:
        linkage.gp = (got + 0x7FF0) & ((1 << 8 * size) - 1)
    count = min(dynamic.tags.get("MIPS_SYMTABNO", 0), MAX_ENTRIES)
    for index in range(count):
        name, value, section = dynamic.symbol(index)
        if not name:
            continue
        if index >= first_global and got is not None:
            word = dynamic.tags.get("MIPS_LOCAL_GOTNO", 0) + index - first_global
            linkage.got[got + size * word] = name
        if section == 0 and value:
            linkage.stubs[value] = name
    for segment in elf.iter_segments():
        if linkage.gp is None and segment["p_type"] in ("PT_MIPS_REGINFO", _PT_MIPS_REGINFO):
            raw = dynamic.data[segment["p_offset"] : segment["p_offset"] + 24]
            if len(raw) == 24:
                linkage.gp = struct.unpack(dynamic.order + "6I", raw)[5]
    if linkage.gp is None and elf.num_sections() <= MAX_SECTIONS:
        section = elf.get_section_by_name(".got")
        if section is not None:
            linkage.gp = section["sh_addr"] + 0x7FF0


def _arm_stub(words: tuple[int, int, int], vaddr: int) -> int | None:
    """Return the GOT word of `add ip,pc,#a; add ip,ip,#b; ldr pc,[ip,#c]!` at `vaddr`, or None."""
    first, second, third = words
    if first & 0xFFFFF000 != 0xE28FC000 or second & 0xFFFFF000 != 0xE28CC000:
        return None
    if third & 0xFFFFF000 != 0xE5BCF000:
        return None
    total = vaddr + 8 + (third & 0xFFF)
    for insn in (first, second):
        rotate = (insn >> 8 & 15) * 2
        value = insn & 0xFF
        total += ((value >> rotate) | (value << (32 - rotate))) & 0xFFFFFFFF if rotate else value
    return total & 0xFFFFFFFF


def _aarch64_stub(words: tuple[int, int, int], vaddr: int) -> int | None:
    """Return the GOT word of `adrp x16,p; ldr x17,[x16,#n]; ...` at `vaddr`, or None."""
    first, second = words[0], words[1]
    if first & 0x9F00001F != 0x90000010 or second & 0xFFC003FF != 0xF9400211:
        return None
    page = (first >> 5 & 0x7FFFF) << 2 | first >> 29 & 3
    page -= 1 << 21 if page >> 20 else 0
    return (vaddr & ~0xFFF) + (page << 12) + (second >> 10 & 0xFFF) * 8


def _plt(dynamic: _Dynamic, linkage: Linkage, machine: int, elf: Any) -> None:
    decode: Callable[[tuple[int, int, int], int], int | None]
    decode = _arm_stub if machine == EM_ARM else _aarch64_stub
    section = elf.get_section_by_name(".plt")
    if section is None:
        return
    start, vaddr = section["sh_offset"], section["sh_addr"]
    raw = dynamic.data[start : start + min(section["sh_size"], MAX_ENTRIES * 16)]
    for at in range(0, len(raw) - 11, 4):
        # Instructions are little-endian on every target that is decoded here.
        name = linkage.got.get(decode(struct.unpack_from("<3I", raw, at), vaddr + at) or -1)
        if name:
            linkage.stubs[vaddr + at] = name
            if machine == EM_ARM and raw[at - 4 : at] == b"\x78\x47\xc0\x46":
                # Thumb callers enter one word earlier, at bx pc; nop.
                linkage.stubs[vaddr + at - 4] = name


def read_linkage(elf: Any, data: bytes, machine: int) -> Linkage:
    """Return the imported names of an ELF file. May raise anything for a damaged one."""
    linkage = Linkage()
    if elf.num_segments() > 1024:
        return linkage
    dynamic = _Dynamic(elf, data)
    if machine == EM_MIPS:
        _mips(dynamic, linkage, elf)
    elif machine == EM_386:
        linkage.table = dynamic.tags.get("PLTGOT")
        if linkage.table is None and elf.num_sections() <= MAX_SECTIONS:
            # Linked statically.
            got = elf.get_section_by_name(".got.plt") or elf.get_section_by_name(".got")
            linkage.table = None if got is None else got["sh_addr"]
    elif machine == EM_PPC64 and elf.num_sections() <= MAX_SECTIONS:
        got = elf.get_section_by_name(".got")
        # ELFv2 ABI, 3.3: the TOC pointer.
        linkage.table = None if got is None else got["sh_addr"] + 0x8000
    kinds = _GOT_RELOCATIONS.get(machine, ())
    for place, kind, index in _relocations(dynamic, machine == EM_MIPS):
        if kind in kinds and index:
            name = dynamic.symbol(index)[0]
            if name:
                linkage.got[place] = name
    if machine in (EM_ARM, EM_AARCH64):
        _plt(dynamic, linkage, machine, elf)
    return linkage
