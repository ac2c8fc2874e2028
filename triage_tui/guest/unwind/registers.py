"""Registers as unwind tables number them, and which of them a call preserves.

Numbers: the DWARF sections of the processor ABIs (AADWARF32/64, MIPS and RISC-V psABI, System V ABI for
PowerPC, i386 and x86-64). Most are the order of the general registers; x86-64 has one of its own.
"""

from __future__ import annotations

from triage_tui.guest.arch import Arch

EM_386, EM_MIPS, EM_PPC, EM_PPC64, EM_S390 = 3, 8, 20, 21, 22
EM_ARM, EM_X86_64, EM_AARCH64, EM_RISCV = 40, 62, 183, 243
"""e_machine values (elf.h)."""

_X86_64 = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", *(f"r{i}" for i in range(8, 16)), "rip")
_I386 = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip")
_PRESERVED: dict[int, tuple[int, ...]] = {
    EM_ARM: tuple(range(4, 12)),
    EM_AARCH64: tuple(range(19, 30)),
    EM_MIPS: (*range(16, 24), 28, 30),
    EM_RISCV: (3, 4, 8, 9, *range(18, 28)),
    EM_PPC: (2, *range(13, 32)),
    EM_PPC64: (2, *range(13, 32)),
    EM_S390: tuple(range(6, 14)),
    EM_X86_64: (3, 6, 12, 13, 14, 15),
    EM_386: (3, 5, 6, 7),
}


def dwarf_names(arch: Arch) -> dict[int, str]:
    """Return DWARF number -> name for the registers that frames are made of."""
    if arch.elf_machine == EM_X86_64:
        return dict(enumerate(_X86_64))
    if arch.elf_machine == EM_386:
        return dict(enumerate(_I386))
    names = dict(enumerate(arch.env_registers))
    if arch.elf_machine in (EM_PPC, EM_PPC64):
        # 65 in .eh_frame, 108 in .debug_frame.
        names |= {65: "lr", 108: "lr"}
    return names


def preserved_names(arch: Arch) -> tuple[str, ...]:
    """Return the names of the registers that a function gives back as it found them."""
    names = dwarf_names(arch)
    return tuple(names[number] for number in _PRESERVED.get(arch.elf_machine, ()) if number in names)


def code_address(arch: Arch, value: int) -> int:
    """Return a return address without what is no part of it: the Thumb bit, an authentication code."""
    if arch.elf_machine == EM_ARM:
        return value & ~1
    return value & ((1 << 48) - 1) if arch.elf_machine == EM_AARCH64 else value
