"""A few instructions that stop a guest thread once more right after one of its system calls.

When QEMU has finished a call it writes the result register and goes on at the pc. A pc that was turned to the
stub while the call was being made therefore brings the thread to a second call, made by the stub, with the
first call's real result in its registers. That second call is the marker: lseek with a `whence` that does not
exist, the only lseek that the filter notifies. It is answered and never executed, and a kernel that did
execute it would only say EINVAL.

The stub has two entries. The normal one is at `start`. A call that a signal interrupts is made again by QEMU,
which sets the pc back by the size of the syscall instruction: that lands at the other entry, which ends in a
marker of its own.

Where the register of the result is also that of the number (MIPS, x86), or the flag of failure does not
survive the marker (ppc: CR0.SO), the stub first moves it to a register that is put back afterwards.

The stub lies behind the last byte of an executable segment, in the rest of its last page, else in the page
from which the emulator lets signal handlers return. It holds no state, so threads may share it, and a forked
process has it too.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.runs.process_model import Mapping

MARKER_CALL = "lseek"
MARKER_WHENCE = 0x6D61726B
"""The third argument of the marker; 0 to 4 are real (lseek(2))."""
MARKER_ARGUMENT = 2
"""Index of that argument."""

_PAGE = 4096
_ALIGN = 16


class Stub(msgspec.Struct, frozen=True):
    """Code for one architecture and instruction set; offsets are bytes from its first byte."""

    code: bytes
    start: int
    """Where a call that has ended goes on."""
    after: int
    """The pc at the marker of a call that has ended."""
    after_restart: int
    """The pc at the marker of a call that a signal interrupted."""
    step: int
    """Bytes of a syscall instruction."""
    result: str | None
    """Register to which the stub moves the result; None: it is still in its own."""
    flags: str | None = None
    """Register to which the stub moves the one with the flag of failure."""
    scratch: tuple[str, str] | None = None
    """Registers from which it takes number and `whence` of the marker; None: they are in its code."""


def _order(arch: Arch) -> str:
    return "<" if arch.instruction_endian == "little" else ">"


def _plain(layout: str, instruction: int) -> Stub:
    """Return a stub of two syscall instructions, for a call number in a register of its own."""
    code = struct.pack(layout, instruction)
    size = len(code)
    return Stub(code * 2, start=size, after=2 * size, after_restart=size, step=size, result=None)


def _mips(arch: Arch, number: int) -> Stub:
    # b +4 instructions; move t8, v0 (also the branch's delay slot); li v0, number; syscall; li; syscall
    load, call = 0x24020000 | number, 0x0000000C
    move = 0x0040C025
    words = (0x10000003, move, load, call, load, call)
    code = struct.pack(_order(arch) + "6I", *words)
    return Stub(code, start=4, after=16, after_restart=24, step=4, result="t8")


def _ppc(arch: Arch) -> Stub:
    # sc; mfcr r10; sc
    code = struct.pack(_order(arch) + "3I", 0x44000002, 0x7D400026, 0x44000002)
    return Stub(code, start=4, after=12, after_restart=4, step=4, result=None, flags="r10")


def _x86(move: bytes, number: int, call: bytes, result: str) -> Stub:
    # jmp over the next part; mov <result>, eax; mov eax, number; syscall; mov eax, number; syscall
    again = b"\xb8" + struct.pack("<I", number) + call
    first = move + again
    code = b"\xeb" + bytes([len(first)]) + first + again
    return Stub(code, start=2, after=2 + len(first), after_restart=len(code), step=2, result=result)


@lru_cache(maxsize=64)
def stub_for(arch: Arch, instruction: bytes) -> Stub | None:
    """Return the stub for a thread whose syscall instruction ends with the four bytes `instruction`.

    None where there is none: an unknown architecture or instruction.
    """
    number = arch.syscall_nr(MARKER_CALL)
    if number is None:
        return None
    if arch.name in ("arm", "armeb"):
        # Big-endian ARM has code of either byte order (BE8, BE32).
        for order in "<", ">":
            if struct.unpack_from(order + "H", instruction, 2)[0] == 0xDF00:
                return _plain(order + "H", 0xDF00)
            # svc #0, whatever the call's own immediate is (the old ABI has the number there).
            if struct.unpack(order + "I", instruction)[0] >> 24 == 0xEF:
                return _plain(order + "I", 0xEF000000)
        return None
    if arch.name == "s390x":
        # svc 0: the number is in r1.
        return _plain(">H", 0x0A00)
    if arch.name == "aarch64":
        return _plain("<I", 0xD4000001)
    if arch.name.startswith("riscv"):
        return _plain("<I", 0x00000073)
    if arch.name.startswith("mips"):
        return _mips(arch, number)
    if arch.name.startswith("ppc"):
        return _ppc(arch)
    if arch.name == "x86_64":
        return _x86(b"\x49\x89\xc0", number, b"\x0f\x05", "r8")
    if arch.name == "i386":
        return _x86(b"\x89\xc7", number, b"\xcd\x80", "edi")
    return None


_NEVER = -1


@lru_cache(maxsize=64)
def call_stub(arch: Arch, behind: Stub) -> Stub | None:
    """Return code that makes one call, with whatever number and arguments, and then the marker.

    `behind` is the stub at which the thread waits. None where there is no such code.
    """
    step = behind.step
    number = arch.syscall_nr(MARKER_CALL)
    if number is None:
        return None

    def made(code: bytes, result: str | None, flags: str | None, *scratch: str) -> Stub:
        pair = (scratch[0], scratch[1]) if scratch else None
        return Stub(code, 0, len(code), _NEVER, step, result, flags, pair)

    order = _order(arch)
    if arch.name in ("arm", "armeb"):
        order = "<" if behind.code[step - 1] in (0xDF, 0xEF) else ">"
    whence = struct.pack("<I", MARKER_WHENCE)
    load = b"\xb8" + struct.pack("<I", number) + b"\xba" + whence
    match arch.name:
        case "arm" | "armeb" if step == 2:
            # svc 0; mov r7, r8; mov r2, r9; svc 0
            code = struct.pack(order + "4H", 0xDF00, 0x4647, 0x464A, 0xDF00)
            return made(code, None, None, "r8", "r9")
        case "arm" | "armeb":
            code = struct.pack(order + "4I", 0xEF000000, 0xE1A07008, 0xE1A02009, 0xEF000000)
            return made(code, None, None, "r8", "r9")
        case "aarch64":
            # svc #0; mov x8, x9; mov x2, x10; svc #0
            code = struct.pack("<4I", 0xD4000001, 0xAA0903E8, 0xAA0A03E2, 0xD4000001)
            return made(code, None, None, "x9", "x10")
        case "riscv64":
            # ecall; mv a7, t1; mv a2, t2; ecall
            code = struct.pack("<4I", 0x00000073, 0x00030893, 0x00038613, 0x00000073)
            return made(code, None, None, "t1", "t2")
        case "mips" | "mipsel" | "mips64" | "mips64el":
            # syscall; move t8, v0; move v0, s1; move a2, s2; syscall
            words = (0x0000000C, 0x0040C025, 0x02201025, 0x02403025, 0x0000000C)
            return made(struct.pack(order + "5I", *words), "t8", None, "s1", "s2")
        case "s390x":
            # svc 0; lgr r1, r8; lgr r4, r9; svc 0
            code = struct.pack(">HIIH", 0x0A00, 0xB9040018, 0xB9040049, 0x0A00)
            return made(code, None, None, "r8", "r9")
        case "ppc" | "ppc64le":
            # sc; mfcr r10; mr r0, r14; mr r5, r15; sc
            words = (0x44000002, 0x7D400026, 0x7DC07378, 0x7DE57B78, 0x44000002)
            return made(struct.pack(order + "5I", *words), None, "r10", "r14", "r15")
        case "x86_64":
            return made(b"\x0f\x05\x49\x89\xc0" + load + b"\x0f\x05", "r8", None)
        case "i386":
            return made(b"\xcd\x80\x89\xc7" + load + b"\xcd\x80", "edi", None)
    return None


def find_room(segments: Iterable[tuple[int, int]], size: int) -> int | None:
    """Return the guest address of `size` unused bytes behind an executable segment (start, end), or None."""
    for _start, end in segments:
        address = (end + _ALIGN - 1) & -_ALIGN
        if end % _PAGE and address + size <= (end + _PAGE - 1) & -_PAGE:
            return address
    return None


def spare_room(
    maps: Iterable[Mapping], read: Callable[[int, int], bytes], size: int, taken: int | None
) -> int | None:
    """Return unused bytes in the page from which QEMU lets signal handlers return, None without one.

    It holds a few instructions at its begin (setup_sigtramp of linux-user), and is executable. `taken` is the
    place of code of ours that stands already.
    """
    pages = (one.start for one in maps if not one.path and one.end - one.start == _PAGE and "x" in one.perms)
    # Behind it in memory ARM has another one, of its helpers.
    page = next(pages, None)
    place = page + _PAGE // 2 if page is not None else None
    with contextlib.suppress(TriageError):
        if place is not None and (place == taken or not any(read(place, size))):
            return place
    return None


ROOM = 64
"""Bytes set aside where a program may need two stubs: ARM and Thumb code each have their half."""
THUMB_OFFSET = 32
