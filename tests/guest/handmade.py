"""Guests that a test puts together: code at 0x10000, a stack at 0x80000."""

from __future__ import annotations

from triage_tui.guest.arch import by_name
from triage_tui.guest.state.memory import Memory
from triage_tui.guest.unwind import Cursor, walk
from triage_tui.runs.process_model import Mapping

CODE, STACK, SIZE = 0x10000, 0x80000, 0x4000


class HandmadeGuest:
    """A MemorySource; what is put nowhere is zero."""

    def __init__(self, arch: str) -> None:
        self.arch = by_name(arch)
        self._regions = {CODE: bytearray(SIZE), STACK: bytearray(SIZE)}

    def maps(self) -> list[Mapping]:
        return [
            Mapping(start=CODE, end=CODE + SIZE, perms="r-xp", path="/bin/program"),
            Mapping(start=STACK, end=STACK + SIZE, perms="rw-p", path="[stack]"),
        ]

    def read_memory(self, addr: int, size: int) -> bytes:
        for start, data in self._regions.items():
            if start <= addr < start + SIZE:
                return bytes(data[addr - start : addr - start + size])
        raise OSError("not mapped")

    def put(self, addr: int, data: bytes) -> None:
        for start, region in self._regions.items():
            if start <= addr < start + SIZE:
                region[addr - start : addr - start + len(data)] = data

    def instructions(self, addr: int, *words: int) -> None:
        """Put 32-bit instructions from `addr` on."""
        self.put(addr, b"".join(word.to_bytes(4, self.arch.instruction_endian) for word in words))

    def word(self, addr: int, value: int) -> None:
        self.put(addr, value.to_bytes(self.arch.word, self.arch.endian))

    def frames(self, **registers: int) -> list[Cursor]:
        """Return the call stack; the code is all that is known of the program."""
        return walk(
            self.arch,
            registers,
            Memory(self, self.arch),
            is_code=lambda addr: CODE <= addr < CODE + SIZE,
        )
