"""Find the tables in an ELF file that say how to unwind its functions."""

from __future__ import annotations

from typing import Any

import msgspec

from triage_tui.binary.cfi import MAX_TABLE, CallFrameTable, DamagedError, Reader, Row
from triage_tui.binary.exidx import ExceptionIndex

_SHF_COMPRESSED = 0x800
_PT_ARM_EXIDX = 0x70000001


class UnwindTables(msgspec.Struct):
    """What one file says about unwinding; addresses are the file's own."""

    call_frames: list[CallFrameTable] = msgspec.field(default_factory=list)
    index: ExceptionIndex | None = None

    def row(self, vaddr: int) -> Row | None:
        """Return the call frame information at `vaddr`, or None."""
        for table in self.call_frames:
            found = table.row(vaddr)
            if found is not None:
                return found
        return None

    def start_of(self, vaddr: int) -> int | None:
        """Return where the function at `vaddr` starts as far as call frame information says, or None."""
        for table in self.call_frames:
            found = table.start_of(vaddr)
            if found is not None:
                return found
        return None

    def exception_code(self, vaddr: int) -> bytes | None:
        """Return the EHABI unwind instructions of the function at `vaddr`, or None."""
        return self.index.at(vaddr) if self.index else None


def _loads(elf: Any) -> list[tuple[int, int, int]]:
    return [
        (s["p_vaddr"], s["p_offset"], s["p_filesz"]) for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"
    ]


def read_unwind_tables(elf: Any, data: bytes, machine: int) -> UnwindTables:
    """Return the unwind tables of an ELF file. May raise anything for a damaged one."""
    tables = UnwindTables()
    if elf.num_segments() > 1024:
        return tables
    loads = _loads(elf)

    def read(vaddr: int, size: int) -> bytes:
        for start, offset, length in loads:
            if start <= vaddr < start + length:
                at = offset + vaddr - start
                return data[at : at + min(size, start + length - vaddr)]
        return b""

    little, word = elf.little_endian, elf.elfclass // 8
    sections = {} if elf.num_sections() > 8192 else {s.name: s for s in elf.iter_sections()}
    for name in (".eh_frame", ".debug_frame"):
        section = sections.get(name)
        if section is None or section["sh_type"] == "SHT_NOBITS" or section["sh_flags"] & _SHF_COMPRESSED:
            continue
        raw = data[section["sh_offset"] : section["sh_offset"] + min(section["sh_size"], MAX_TABLE)]
        is_eh = name == ".eh_frame"
        tables.call_frames.append(
            CallFrameTable(raw, section["sh_addr"], little=little, word=word, is_eh=is_eh)
        )
    for segment in elf.iter_segments():
        kind, vaddr, size = segment["p_type"], segment["p_vaddr"], segment["p_filesz"]
        if kind == "PT_GNU_EH_FRAME" and ".eh_frame" not in sections:
            # Without section headers the search table names the frame table.
            start = _frame_table(read(vaddr, size), vaddr, little, word)
            if start is not None:
                raw = read(start, MAX_TABLE)
                tables.call_frames.insert(0, CallFrameTable(raw, start, little=little, word=word, is_eh=True))
        elif machine == 40 and kind in ("PT_ARM_EXIDX", _PT_ARM_EXIDX):
            tables.index = ExceptionIndex(read(vaddr, min(size, MAX_TABLE)), vaddr, read, little)
    return tables


def _frame_table(header: bytes, vaddr: int, little: bool, word: int) -> int | None:
    """Return the address of `.eh_frame` as `.eh_frame_hdr` gives it (LSB, "The .eh_frame_hdr section")."""
    if len(header) < 8 or header[0] != 1:
        return None
    reader = Reader(header, 4, len(header), little, word)
    try:
        return reader.pointer(header[1], vaddr)
    except DamagedError:
        return None
