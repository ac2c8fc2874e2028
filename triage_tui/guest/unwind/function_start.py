"""Guess where a function starts by its prologue."""

from __future__ import annotations

from triage_tui.guest.unwind import aarch64, arm_prologue, mips, ppc, riscv, s390x, x86
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code
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

_WITH_LINK = {EM_MIPS: mips.find_start, EM_RISCV: riscv.find_start, EM_S390: s390x.find_start}
_BY_MACHINE = {
    EM_AARCH64: aarch64.find_start,
    EM_PPC: ppc.find_start,
    EM_PPC64: ppc.find_start,
    EM_X86_64: x86.find_start,
    EM_386: x86.find_start,
}


def find_start(code: Code, addr: int, thumb: bool, has_called: bool = False) -> int | None:
    """Return the prologue nearest before `addr` that most likely is its function's, or None.

    `has_called` says that the function has called another one, so that it has saved its return address.
    """
    key = (addr, thumb, has_called)
    if key not in code.starts:
        code.starts[key] = _find(code, addr, thumb, has_called)
    return code.starts[key]


def _find(code: Code, addr: int, thumb: bool, has_called: bool) -> int | None:
    machine = code.memory.arch.elf_machine
    if machine in _WITH_LINK:
        return _WITH_LINK[machine](code, addr, has_called)
    if machine == EM_ARM:
        return arm_prologue.find_start(code, addr, thumb, max(0, addr - MAX_FUNCTION))
    find = _BY_MACHINE.get(machine)
    return find(code, addr) if find else None
