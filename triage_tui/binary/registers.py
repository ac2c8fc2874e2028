"""Which registers an instruction changes, by one name for each register whatever part of it is meant."""

from __future__ import annotations

from functools import cache
from typing import Any

from capstone import CS_OP_REG

from triage_tui.binary.disassembly import family

_X86_PARTS = {
    **{f"r{x}x": (f"e{x}x", f"{x}x", f"{x}l", f"{x}h") for x in "abcd"},
    **{f"r{x}": (f"e{x}", x, f"{x}l") for x in ("si", "di", "bp", "sp")},
    **{f"r{i}": (f"r{i}d", f"r{i}w", f"r{i}b") for i in range(8, 16)},
}
_X86 = {part: name for name, parts in _X86_PARTS.items() for part in parts}

CLOBBERED = {
    "arm": frozenset(["r0", "r1", "r2", "r3", "ip", "lr"]),
    "aarch64": frozenset([*(f"x{i}" for i in range(19)), "x30"]),
    "mips": frozenset(
        ["at", "v0", "v1", "a0", "a1", "a2", "a3", "t8", "t9", "ra", *(f"t{i}" for i in range(8))]
    ),
    "x86": frozenset(["rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"]),
    "ppc": frozenset([f"r{i}" for i in (0, *range(3, 13))] + ["ctr", "lr"]),
    "riscv64": frozenset(["ra", *(f"t{i}" for i in range(7)), *(f"a{i}" for i in range(8))]),
    "s390x": frozenset(["0", "1", "2", "3", "4", "5", "14"]),
}
"""What a call may change, by instruction set (i386: fewer, see `clobbered`)."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STORES = {
    "mips": _names("sb sh sw sd swl swr sdl sdr sc scd swc1 sdc1 cache pref mtc1 dmtc1 mtc0"),
    "riscv64": _names("sb sh sw sd fsw fsd c.sw c.sd c.fsd c.swsp c.sdsp c.fsdsp c.beqz c.bnez c.j c.jr"),
}
_NO_TARGET = {
    "mips": ("b", "j"),
    "riscv64": ("b", "j"),
    "ppc": ("st", "cmp", "b", "mt", "tw", "td", "dcb", "icb"),
    "s390x": ("st", "mv", "cl", "cg", "ch", "ci", "cr", "c ", "b", "j", "t", "svc"),
}
"""What mnemonics begin with whose first operand is no register that they change."""


@cache
def clobbered(arch: str) -> frozenset[str]:
    """Return the registers that a call may change."""
    if arch == "i386":
        return frozenset(["rax", "rcx", "rdx"])
    return CLOBBERED.get(family(arch), frozenset())


def canonical(arch: str, name: str | None) -> str:
    """Return the one name of a register: "rax" for "eax" and "al", "x3" for "w3"."""
    if not name:
        return ""
    match family(arch):
        case "x86":
            return _X86.get(name, name)
        case "aarch64":
            if name[0] == "w" and name[1:].isdigit():
                return "x" + name[1:]
            return {"fp": "x29", "lr": "x30"}.get(name, name)
        case "arm":
            return "ip" if name == "r12" else name
    return name


def is_zero(name: str) -> bool:
    """Say whether a register always reads as zero."""
    return name in ("zero", "xzr", "wzr")


def written(arch: str, insn: Any) -> set[str]:
    """Return the names of the registers that the instruction changes."""
    kind = family(arch)
    if kind in ("arm", "aarch64", "x86"):
        return {canonical(arch, insn.reg_name(register)) for register in insn.regs_access()[1]}
    # Capstone 5 does not say it for the others: the first operand is the target, but for stores and branches.
    operands, name = insn.operands, insn.mnemonic
    if kind == "ppc" and name in ("mtctr", "mtlr"):
        return {name[2:]}
    if not operands or operands[0].type != CS_OP_REG or name in _STORES.get(kind, ()):
        return set()
    if (name + " ").startswith(_NO_TARGET.get(kind, ())):
        return set()
    first = insn.reg_name(operands[0].reg)
    if kind == "ppc" and name == "lmw":
        return {f"r{i}" for i in range(int(first[1:]), 32)}
    if kind == "s390x" and name == "lmg" and first.isdigit():
        last = insn.reg_name(operands[1].reg)
        return {str(i) for i in range(int(first), int(last) + 1)} if last.isdigit() else {first}
    return {first}


def restores(arch: str, insn: Any) -> bool:
    """Say whether the instruction loads a register from the stack, as epilogues and code behind calls do."""
    name, operands = insn.mnemonic, insn.operands
    match family(arch):
        case "x86":
            return name in ("pop", "leave")
        case "ppc":
            if name not in ("lwz", "ld", "lmw"):
                return False
        case "s390x":
            if name not in ("lg", "lmg"):
                return False
        case "mips":
            if name not in ("lw", "ld"):
                return False
        case _:
            return False
    base = insn.reg_name(operands[-1].mem.base) if operands[-1].mem.base else ""
    return base in ("r1", "r11", "r31", "15", "11", "sp", "fp", "s8")
