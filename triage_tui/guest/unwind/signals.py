"""Step over a signal frame: find the registers that were saved when a signal interrupted the guest.

A handler returns to a few instructions that make the call sigreturn; the C library or the emulator provides
them. Which call that is and where the saved registers lie is fixed by the kernel: `struct sigframe` and
`struct rt_sigframe` in arch/*/kernel/signal*.c, in QEMU linux-user/*/signal.c. Offsets are from sp at that
instruction.
"""

from __future__ import annotations

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.unwind.model import Code, Cursor, Step
from triage_tui.guest.unwind.registers import EM_386, EM_ARM, preserved_names
from triage_tui.guest.unwind.trampolines import trampoline

_SIGINFO = 128
"""Bytes of siginfo_t, the same everywhere."""


class _Saved(msgspec.Struct, frozen=True):
    """Where a signal frame holds the registers."""

    at: int
    """Offset of the array from sp, or from where the pointer leads."""
    names: tuple[str | None, ...]
    size: int
    """Bytes of one of them."""
    pointer: int | None = None
    """Offset from sp of a pointer to the array's base."""


def _layout(arch: Arch, info: bool) -> _Saved | None:
    """Return where the registers are saved in a frame of `arch`, with siginfo or without."""
    names = arch.env_registers
    start = _SIGINFO if info else 0
    match arch.elf_machine:
        case 40:
            # ucontext: flags, link, stack (3 words); sigcontext: trap_no, error_code, oldmask, r0-r15.
            return _Saved(start + 20 + 12, names, 4)
        case 183:
            # ucontext: flags, link, stack, 128 bytes of mask, padding; sigcontext: fault_address, x0-x30.
            return _Saved(start + 176 + 8, (*names, arch.pc), 8)
        case 243:
            return _Saved(start + 176, (arch.pc, *names[1:]), 8)
        case 8 if arch.word == 8:
            # ass[4], code[2]; siginfo; ucontext: flags, link, stack. The pc follows fp registers and hi, lo.
            return _Saved(24 + start + 40, (*names, *[None] * 40, arch.pc), 8)
        case 8:
            # ass[4], code[2]; siginfo; ucontext; sigcontext: regmask, status, pc, regs: 64 bits each.
            return _Saved(24 + start + (24 if info else 0) + 8, (arch.pc, *names), 8)
        case 20 if arch.word == 4:
            # A pointer leads to gp_regs: r0-r31, nip, msr, orig_r3, ctr, link.
            pointer = 80 + start + 48 if info else 64 + 28
            return _Saved(0, (*names, arch.pc, None, None, None, arch.lr), 4, pointer)
        case 21:
            # ucontext comes first; its sigcontext ends with the pointer.
            return _Saved(0, (*names, arch.pc, None, None, None, arch.lr), 8, 144 + 168 + 56)
        case 22:
            # 160 bytes for the callee. With siginfo: code, siginfo; ucontext: flags, link, stack.
            # Without: sigcontext. Then both: psw (mask, address), r0-r15.
            at = 160 + (8 + start + 40 if info else 16)
            return _Saved(at, (None, arch.pc, *names), 8)
        case 62:
            order = "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip"
            return _Saved(40, tuple(order.split()), 8)
        case 3:
            order = "edi esi ebp esp ebx edx ecx eax - - eip"
            registers = tuple(None if name == "-" else name for name in order.split())
            # Behind the signal number: pointers to siginfo and ucontext, or the sigcontext itself.
            return _Saved(20 + 16, registers, 4, 8) if info else _Saved(4 + 16, registers, 4)
    return None


def step(code: Code, cursor: Cursor) -> Step:
    """Return what a signal interrupted, if `cursor` stands where a signal handler returns to."""
    memory, arch = code.memory, code.memory.arch
    info = trampoline(memory, cursor.pc, thumb=cursor.thumb)
    saved = None if info is None else _layout(arch, info)
    if saved is None:
        return None
    base: int | None = cursor.sp
    if arch.elf_machine == EM_386 and info is False and memory.read(cursor.pc, 1) != b"\x58":
        base = cursor.sp - 4
    if base is not None and saved.pointer is not None:
        base = memory.word(base + saved.pointer)
    if base is None:
        return None
    values: dict[str, int] = {}
    for index, name in enumerate(saved.names):
        raw = memory.read(base + saved.at + index * saved.size, saved.size) if name else b""
        if name and len(raw) == saved.size:
            values[name] = int.from_bytes(raw, arch.endian) & arch.word_mask
    pc = values.get(arch.pc)
    if pc is None or arch.sp not in values or not code.is_code(pc & ~1 if arch.elf_machine == EM_ARM else pc):
        return None
    thumb = False
    if arch.elf_machine == EM_ARM:
        # cpsr follows pc; T is bit 5.
        status = memory.word(base + saved.at + 16 * 4) or 0
        thumb, pc = bool(status >> 5 & 1), pc & ~1
    kept = preserved_names(arch)
    registers = {name: value for name, value in values.items() if name in kept}
    lr = values.get(arch.lr) if arch.lr else None
    return Cursor(pc, values[arch.sp], lr, registers, thumb=thumb, method="signal_frame")
