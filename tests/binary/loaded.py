"""The programs of this directory as a guest has them in memory."""

from __future__ import annotations

from pathlib import Path

from tests.programs import qemu_name
from triage_tui.binary.code import CodeReader
from triage_tui.binary.modules import ModuleMap
from triage_tui.binary.symbols import ElfImage, parse_image
from triage_tui.guest.emulator.elf import read_elf
from triage_tui.guest.spec import architecture_of
from triage_tui.runs.process_model import Mapping

PROGRAMS = Path(__file__).with_name("programs")
BASE = 0x5000_0000
ARCH = {"arm": ("arm", 4), "thumb": ("arm", 4), "aarch64": ("aarch64", 8), "mipsel": ("mipsel", 4)}


def content(variant: str) -> bytes:
    return (PROGRAMS / f"imports.{variant}").read_bytes()


def without_sections(data: bytes) -> bytes:
    """Remove the section header table, as firmware builders do: only the program headers are left."""
    cut = bytearray(data)
    offset, count = (slice(40, 48), slice(60, 62)) if data[4] == 2 else (slice(32, 36), slice(48, 50))
    cut[offset] = bytes(offset.stop - offset.start)
    cut[count] = bytes(2)
    return bytes(cut)


class Loaded:
    """One program mapped at BASE, page by page as the kernel does it; no symbol table if `data` has none."""

    def __init__(self, variant: str, tmp_path: Path, data: bytes | None = None) -> None:
        raw = content(variant) if data is None else data
        path = tmp_path / "lib" / "imports.so"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(raw)
        self.image: ElfImage = parse_image(raw)
        self.memory = bytearray(0x4000)
        self.maps = []
        for segment in self.image.segments:
            part = raw[segment.offset : segment.offset + segment.file_size]
            self.memory[segment.vaddr : segment.vaddr + len(part)] = part
            start = segment.vaddr & ~0xFFF
            end = (segment.vaddr + segment.memory_size + 0xFFF) & ~0xFFF
            self.maps.append(
                Mapping(
                    start=BASE + start,
                    end=BASE + end,
                    perms="r--p",
                    offset=segment.offset & ~0xFFF,
                    path="/lib/imports.so",
                )
            )
        self.modules = ModuleMap(self.maps, tmp_path)
        name, word = ARCH[variant]
        self.reader = CodeReader(name, word, True, self.read, self.modules)

    def read(self, addr: int, size: int) -> bytes:
        return bytes(self.memory[addr - BASE : addr - BASE + size]) if addr >= BASE else b""

    def address(self, function: str) -> int:
        return BASE + next(s.start for s in self.image.symbols if s.name == function)


class Image:
    """An ELF file at the addresses that it was linked for, its relocations not applied.

    `symbols` is the same file with its symbols where `data` has none.
    """

    def __init__(self, arch: str, tmp_path: Path, data: bytes, symbols: bytes | None = None) -> None:
        (tmp_path / "program").write_bytes(data)
        image = parse_image(data)
        self.symbols = {one.name: one for one in parse_image(symbols or data).symbols if one.is_function}
        known = architecture_of(read_elf(data, "program"), "program")
        assert known.name == qemu_name(arch)
        low = min(segment.vaddr for segment in image.segments) & ~0xFFF
        memory = bytearray(max(segment.vaddr + segment.memory_size for segment in image.segments) - low)
        maps = []
        for segment in image.segments:
            part = data[segment.offset : segment.offset + segment.file_size]
            memory[segment.vaddr - low : segment.vaddr - low + len(part)] = part
            end = (segment.vaddr + segment.memory_size + 0xFFF) & ~0xFFF
            start, offset = segment.vaddr & ~0xFFF, segment.offset & ~0xFFF
            maps.append(Mapping(start=start, end=end, perms="r--p", offset=offset, path="/program"))

        def read(addr: int, size: int) -> bytes:
            return bytes(memory[addr - low : addr - low + size]) if addr >= low else b""

        self.reader = CodeReader(
            known.instruction_set,
            known.word,
            known.endian == "little",
            read,
            ModuleMap(maps, tmp_path),
            known.syscall_name,
        )

    def listing(self, function: str) -> str:
        """Return the disassembly of a function, up to its last instructions also where no symbol ends it."""
        symbol = self.symbols[function]
        return self.reader.listing(symbol.end - 4 & ~1, thumb=symbol.thumb, start=symbol.start).text
