"""The programs of this directory as a guest has them in memory."""

from __future__ import annotations

from pathlib import Path

from triage_tui.binary.code import CodeReader
from triage_tui.binary.modules import ModuleMap
from triage_tui.binary.symbols import ElfImage, parse_image
from triage_tui.runs.model import Mapping

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
