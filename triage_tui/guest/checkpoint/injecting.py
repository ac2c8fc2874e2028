"""Have a guest that waits at its first instruction make system calls of our choice.

The guest waits in the emulator's gdb stub, so that its registers in the emulator's memory are exact and what
is written there holds. A system call instruction and a little room for arguments are put somewhere; the guest
is stepped over that instruction, and stands still again. What it was to execute at first is not touched.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint.served_stub import ServedStub
from triage_tui.guest.emulator.env_locator import Location
from triage_tui.guest.host import host_memory

PAGE = 4096
_STACK_AT = 0x800
"""Offset in the page of the stack pointer during a call: arguments beyond the registers lie above it."""
_TEXT_AT = 0xA00
"""Offset in the page of what a call points to."""
ROOM = PAGE - _TEXT_AT
"""Bytes that the calls may point to."""
_MIPS_ANONYMOUS, _ANONYMOUS, _FIXED, _PRIVATE, _SHARED = 0x800, 0x20, 0x10, 2, 1
_PROT = {"r": 1, "w": 2, "x": 4}


class CallFailed(TriageError):
    """An injected call failed."""


def _code(arch: Arch) -> bytes:
    """Return the system call instruction and two that do nothing behind it."""
    order = "<" if arch.instruction_endian == "little" else ">"
    name = arch.name
    if name in ("arm", "armeb"):
        return struct.pack(order + "3I", 0xEF000000, 0xE1A00000, 0xE1A00000)
    if name == "aarch64":
        return struct.pack("<3I", 0xD4000001, 0xD503201F, 0xD503201F)
    if name.startswith("riscv"):
        return struct.pack("<3I", 0x00000073, 0x00000013, 0x00000013)
    if name.startswith("mips"):
        return struct.pack(order + "3I", 0x0000000C, 0, 0)
    if name.startswith("ppc"):
        return struct.pack(order + "3I", 0x44000002, 0x60000000, 0x60000000)
    if name == "s390x":
        return struct.pack(">3H", 0x0A00, 0x0707, 0x0707)
    if name == "x86_64":
        return b"\x0f\x05\x90\x90"
    if name == "i386":
        return b"\xcd\x80\x90\x90"
    raise TriageError(f"no calls can be made in the place of a program for {name}")


class Injector:
    """Makes calls in the one thread of a guest that waits in the stub. Addresses are guest addresses."""

    def __init__(self, pid: int, arch: Arch, location: Location, stub: ServedStub) -> None:
        """`pid` is the emulator's process."""
        self._pid = pid
        self.arch = arch
        self._location = location
        self._stub = stub
        self._page = 0
        self.calls = 0
        """Calls made so far."""

    def registers(self) -> dict[str, int]:
        """Return the registers that a system call touches."""
        data = host_memory.read_memory(self._pid, self._location.env, self.arch.env_span)
        return self.arch.registers_from_env(data, self._location.pc_offset)

    def set_registers(self, values: dict[str, int]) -> None:
        """Set registers."""
        data = host_memory.read_memory(self._pid, self._location.env, self.arch.env_span)
        parts = [
            (self._location.env + offset, content)
            for name, value in values.items()
            for offset, content in self.arch.env_writes(name, value, data, self._location.pc_offset)
        ]
        host_memory.write_parts(self._pid, parts)

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes of the guest's memory.

        Raises:
            OSError: nothing is readable there.
        """
        return host_memory.read_memory(self._pid, self._location.guest_base + address, size)

    def write(self, address: int, data: bytes) -> None:
        """Write into the guest's memory, also where it may not.

        Raises:
            OSError: not all of it is mapped.
        """
        host_memory.write_memory(self._pid, self._location.guest_base + address, data)

    @contextlib.contextmanager
    def room(self, first: int, page: int, last: int) -> Iterator[None]:
        """Make `page`, where nothing lies, the place of the calls, and have it vanish afterwards.

        `first` is a page of code that is there before, `last` one that is there after: their bytes are
        borrowed for the call that makes the place and for the one that takes it away, and put back.

        Raises:
            TriageError: it cannot be mapped.
        """
        with self.borrowed(first):
            self.map(page, PAGE, "rwx")
        self._use(page)
        yield
        with self.borrowed(last):
            self.call("munmap", page, PAGE)

    @contextlib.contextmanager
    def borrowed(self, page: int) -> Iterator[None]:
        """Make the page of code `page` the place of the calls, and put its bytes back afterwards."""
        kept = self.read(page, PAGE)
        self._use(page)
        try:
            yield
        finally:
            self.write(page, kept)

    def _use(self, page: int) -> None:
        self._page = page
        self.write(page, _code(self.arch))

    def put(self, data: bytes) -> int:
        """Put what the next call points to into the guest's memory; return its address.

        Raises:
            TriageError: it is too long.
        """
        if len(data) > ROOM:
            raise TriageError(f"{len(data)} bytes are too long for an argument of a call")
        self.write(self._page + _TEXT_AT, data)
        return self._page + _TEXT_AT

    @property
    def instruction(self) -> bytes:
        """The system call instruction, and what follows up to four bytes."""
        return _code(self.arch)[:4]

    def call(
        self,
        name: str,
        *arguments: int,
        code: tuple[int, bytes] | None = None,
        also: Mapping[str, int] | None = None,
    ) -> int:
        """Make a call and return its result.

        `code` are an offset in the page and instructions that are put there, of which the first makes the
        call and the others are for who else returns from it; `also` are registers to set.

        Raises:
            CallFailed: it failed, or there is no such call.
            TriageError: the emulator is gone.
        """
        arch = self.arch
        number = arch.syscall_nr(name)
        if number is None:
            raise CallFailed(f"{arch.name} has no {name}")
        self.calls += 1
        mask = arch.word_mask
        given = [value & mask for value in (*arguments, *(0,) * (6 - len(arguments)))]
        values = dict(zip(arch.syscall_args, given, strict=False))
        place = self._page
        if code is not None:
            place += code[0]
            self.write(place, code[1])
        values |= {
            arch.syscall_number: number,
            arch.pc: place,
            arch.sp: self._page + _STACK_AT,
            **(also or {}),
        }
        if arch.name in ("arm", "armeb"):
            # Not in the Thumb instruction set.
            values["cpsr"] = self.registers()["cpsr"] & ~0x20
        if arch.stack_args is not None:
            first, offset = arch.stack_args
            words = b"".join(value.to_bytes(arch.word, arch.endian) for value in given[first:])
            self.write(self._page + _STACK_AT + offset, words)
        self.set_registers(values)
        self._step()
        result = arch.syscall_result(self.registers())
        if -4095 <= result < 0:
            error = arch.errno_name(result) or f"error {-result}"
            raise CallFailed(f"{name} failed with {error}")
        return result

    def execute(self, code: bytes, registers: dict[str, int]) -> None:
        """Execute one instruction with some registers set.

        Raises:
            TriageError: the emulator is gone.
        """
        self.write(self._page, code)
        self.set_registers(registers | {self.arch.pc: self._page})
        self._step()
        self.write(self._page, _code(self.arch))

    def _step(self) -> None:
        """Step the guest over one instruction."""
        if self._stub.command(b"s")[:1] not in (b"T", b"S"):
            raise TriageError("the emulator ended while a checkpoint was being restored")

    def map(
        self, address: int, size: int, perms: str, fd: int = -1, offset: int = 0, shared: bool = False
    ) -> None:
        """Map `size` bytes at `address`, over what is there: anonymous memory, or those of a file.

        Raises:
            CallFailed: it cannot be mapped.
        """
        flags = _FIXED | (_SHARED if shared else _PRIVATE)
        found = self._map(address, size, protection(perms), flags, fd, offset)
        if found != address:
            raise CallFailed(f"memory at 0x{address:x} was given at 0x{found:x}")

    def map_anywhere(self, size: int) -> int:
        """Map `size` bytes of memory that nobody may use, where the emulator finds room; return where.

        Raises:
            CallFailed: it cannot be mapped.
        """
        return self._map(0, size, 0, _PRIVATE, -1, 0)

    def _map(self, address: int, size: int, prot: int, flags: int, fd: int, offset: int) -> int:
        arch = self.arch
        if fd < 0:
            flags |= _MIPS_ANONYMOUS if arch.name.startswith("mips") else _ANONYMOUS
        if arch.name == "s390x":
            words = (address, size, prot, flags, fd & arch.word_mask, offset)
            found = self.call("mmap", self.put(struct.pack(">6Q", *words)))
        elif arch.word == 4:
            found = self.call("mmap2", address, size, prot, flags, fd, offset // PAGE)
        else:
            found = self.call("mmap", address, size, prot, flags, fd, offset)
        return found & arch.word_mask


def protection(perms: str) -> int:
    """Return PROT_* for permissions such as "r-x"."""
    return sum(bit for letter, bit in _PROT.items() if letter in perms[:3])
