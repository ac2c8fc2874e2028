"""Backtraces of damaged and malicious programs: never an exception, never more than bounded work."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.binary.tables import damaged, table_ranges
from tests.guest.handmade import STACK as STACK_PAGE
from tests.guest.handmade import HandmadeGuest
from tests.guest.test_frames import TABLES, without_symbols
from tests.guest.work import TooMuchWorkError, within
from tests.programs import ARCHES, build
from triage_tui.binary.modules import ModuleMap
from triage_tui.binary.symbols import ElfImage, parse_image
from triage_tui.guest.arch import Arch
from triage_tui.guest.emulator.elf import read_elf
from triage_tui.guest.spec import architecture_of
from triage_tui.guest.state.memory import Memory, OutOfWorkError
from triage_tui.guest.unwind import MAX_FRAMES, Cursor, walk
from triage_tui.runs.process_model import Mapping

STACK, STACK_SIZE = 0x7000_0000, 0x4000
WORK = 20_000_000
"""Calls of functions for one backtrace at most, for the worst that a program can do."""


class Frozen:
    """A program's file as it is mapped, a stack that a seeded source of chance has filled, and registers."""

    def __init__(self, data: bytes, directory: Path, source: random.Random) -> None:
        (directory / "program").write_bytes(data)
        self.image: ElfImage = parse_image(data)
        self.arch: Arch = architecture_of(read_elf(data, "program"), "program")
        self.parts: dict[int, bytes] = {}
        self.mappings = [Mapping(start=STACK, end=STACK + STACK_SIZE, perms="rw-p", path="[stack]")]
        for segment in self.image.segments:
            low = segment.vaddr & ~0xFFF
            offset = segment.offset & ~0xFFF
            size = (segment.vaddr - low + segment.file_size + 0xFFF) & ~0xFFF
            self.parts[low] = data[offset : offset + size].ljust(size, b"\0")
            self.mappings.append(
                Mapping(start=low, end=low + size, perms="r-xp", offset=offset, path="/program")
            )
        self.code = [
            range(segment.vaddr, segment.vaddr + segment.file_size)
            for segment in self.image.segments
            if segment.executable
        ]
        self.directory = directory
        self.source = source
        word = self.arch.word
        self.parts[STACK] = b"".join(
            self.value().to_bytes(word, self.arch.endian) for _ in range(STACK_SIZE // word)
        )

    def value(self) -> int:
        """Return a likely word: an address of code or of the stack, a small number, anything."""
        match self.source.randrange(8):
            case 0 | 1 | 2:
                return self.code_address()
            case 3 | 4 | 5:
                return STACK + self.source.randrange(STACK_SIZE) & ~7
            case 6:
                return self.source.randrange(4096)
        return self.source.getrandbits(self.arch.bits)

    def code_address(self) -> int:
        part = self.source.choice(self.code)
        return part.start + self.source.randrange(len(part)) & -self.arch.code_align

    def maps(self) -> list[Mapping]:
        return self.mappings

    def read_memory(self, addr: int, size: int) -> bytes:
        for start, data in self.parts.items():
            if start <= addr < start + len(data):
                return data[addr - start : addr - start + size]
        raise OSError("not mapped")

    def frames(self, *, without_tables: bool = False, one_function: bool = False) -> list[Cursor]:
        registers = {name: self.value() for name in (*self.arch.env_registers, "cpsr")}
        registers[self.arch.sp] = STACK + self.source.randrange(STACK_SIZE // 2) & ~15
        if self.arch.lr is not None:
            registers[self.arch.lr] = self.value()
        registers[self.arch.pc] = self.code_address()
        memory = Memory(self, self.arch)
        if without_tables:
            start = self.code[0].start if one_function else None
            low, high = self.code[0].start, self.code[-1].stop
            return walk(
                self.arch,
                registers,
                memory,
                is_code=lambda addr: low <= addr < high,
                function_start=lambda _addr: start,
            )
        modules = ModuleMap(self.mappings, self.directory)
        return walk(
            self.arch,
            registers,
            memory,
            is_code=lambda addr: bool(modules.is_code(addr)),
            function_start=modules.function_start,
            is_outermost=modules.is_entry,
            unwind_row=modules.unwind_row,
            exception_code=modules.exception_code,
        )


@pytest.mark.parametrize("arch", ARCHES)
def test_damaged_tables_and_stacks_end_in_a_bounded_backtrace(arch: str, tmp_path: Path) -> None:
    source = random.Random(arch)
    data = without_symbols(build("frames", arch, *TABLES).read_bytes())
    ranges = table_ranges(data)
    for _ in range(2):
        frozen = Frozen(damaged(data, ranges, source), tmp_path, source)
        assert 1 <= len(within(WORK, frozen.frames)) <= MAX_FRAMES


ENDLESS = {
    "arm": ("04d04de2", "00402de9"),
    "armeb": ("04d04de2", "00402de9"),
    "thumb": ("81b0", "00b5"),
    "aarch64": ("ff4300d1", "fd7bbfa9"),
    "mips": ("27bdfff8", "afbf0004"),
    "mipsel": ("f8ffbd27", "0400bfaf"),
    "mips64el": ("f0ffbd67", "0800bfff"),
    "ppc": ("9421fff0", "90010014"),
    "ppc64le": ("f1ff21f8", "100001f8"),
    "riscv64": ("4111", "06e4"),
    "s390x": ("a7fbff60", "ebeff0700024"),
    "i386": ("6aff", "90"),
    "x86_64": ("6aff", "90"),
}
"""Instructions that take stack, and such that save the return address."""


ALIKE = {"arm": "armeb", "mips": "mipsel"}
"""Read by the same code, in the other byte order: each has half of the patterns."""
PATTERNS = ("taking", "saving", "both", "undecodable")


@pytest.mark.parametrize(
    ("pattern", "arch"),
    [
        (pattern, arch)
        for arch in ENDLESS
        for number, pattern in enumerate(PATTERNS)
        if (arch not in ALIKE or number % 2) and (arch not in ALIKE.values() or not number % 2)
    ],
)
def test_code_that_is_all_prologue_is_no_endless_work(pattern: str, arch: str, tmp_path: Path) -> None:
    source = random.Random(arch + pattern)
    frozen = Frozen(without_symbols(build("frames", arch, *TABLES).read_bytes()), tmp_path, source)
    taking, saving = (bytes.fromhex(one) for one in ENDLESS[arch])
    unit = {"taking": taking, "saving": saving, "both": taking + saving, "undecodable": b"\x06"}[pattern]
    for part in frozen.code:
        low = part.start & ~0xFFF
        size = len(frozen.parts[low])
        frozen.parts[low] = (unit * (size // len(unit) + 1))[:size]
    # Nothing says where a function starts; then, one holds all the code.
    assert within(WORK, lambda: frozen.frames(without_tables=True))
    assert within(WORK, lambda: frozen.frames(without_tables=True, one_function=True))


def test_work_beyond_the_limit_is_noticed() -> None:
    with pytest.raises(TooMuchWorkError):
        within(1000, lambda: [abs(i) for i in range(10_000)])


def test_memory_can_be_read_so_often_and_no_more() -> None:
    guest = HandmadeGuest("ppc")
    guest.word(STACK_PAGE, 7)
    # The first word of a page costs two.
    memory = Memory(guest, guest.arch).metered(3)
    assert [memory.word(STACK_PAGE), memory.word(STACK_PAGE + 4)] == [7, 0]
    with pytest.raises(OutOfWorkError):
        memory.word(STACK_PAGE)
