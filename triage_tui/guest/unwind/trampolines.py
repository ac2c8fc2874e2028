"""Recognise the code that signal handlers return to: load the number of sigreturn, make the call."""

from __future__ import annotations

from triage_tui.guest.state.memory import Memory
from triage_tui.guest.unwind.registers import (
    EM_386,
    EM_AARCH64,
    EM_ARM,
    EM_MIPS,
    EM_PPC,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    EM_X86_64,
)

_ARM_CODE = {
    (0xE3A070AD, 0xEF000000): True,
    (0xE3A07077, 0xEF000000): False,
    (0xE3A070AD, 0xEF9000AD): True,
    (0xE3A07077, 0xEF900077): False,
}
_ARM_THUMB = {
    bytes.fromhex("27addf00"): True,
    bytes.fromhex("2777df00"): False,
    bytes.fromhex("f04f07addf00"): True,
    bytes.fromhex("f04f0777df00"): False,
}
"""Halfwords as numbers, most significant byte first."""
_WORD_CODE: dict[int, dict[tuple[int, int], bool]] = {
    EM_AARCH64: {(0xD2801168, 0xD4000001): True},
    EM_MIPS: {
        (0x24021061, 0x0000000C): True,
        (0x24021017, 0x0000000C): False,
        (0x2402145B, 0x0000000C): True,
    },
    EM_PPC: {(0x380000AC, 0x44000002): True, (0x38000077, 0x44000002): False},
    EM_PPC64: {(0x380000AC, 0x44000002): True},
    EM_RISCV: {(0x08B00893, 0x00000073): True},
}
"""Two instructions -> whether they return from a signal frame with siginfo."""
_CODE_BYTES = {
    EM_X86_64: {bytes.fromhex("48c7c00f0000000f05"): True, bytes.fromhex("b80f0000000f05"): True},
    EM_386: {
        bytes.fromhex("b8ad000000cd80"): True,
        bytes.fromhex("58b877000000cd80"): False,
        bytes.fromhex("b877000000cd80"): False,
    },
    EM_S390: {bytes.fromhex("0aad"): True, bytes.fromhex("0a77"): False},
}


def trampoline(memory: Memory, addr: int, *, thumb: bool = False) -> bool | None:
    """Say whether a handler returning to `addr` returns from a signal: with siginfo True, without False.

    None if there is no such code.
    """
    arch = memory.arch
    machine = arch.elf_machine
    if machine in _CODE_BYTES:
        data = memory.read(addr, 16)
        for code, kind in _CODE_BYTES[machine].items():
            if data.startswith(code):
                return kind
        return None
    if thumb:
        halves = [memory.halfword((addr & ~1) + 2 * i) or 0 for i in range(3)]
        data = b"".join(half.to_bytes(2, "big") for half in halves)
        return next((kind for code, kind in _ARM_THUMB.items() if data.startswith(code)), None)
    pair = (memory.instruction(addr) or 0, memory.instruction(addr + 4) or 0)
    return (_ARM_CODE if machine == EM_ARM else _WORD_CODE.get(machine, {})).get(pair)
