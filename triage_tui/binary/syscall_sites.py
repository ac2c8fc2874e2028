"""Find which syscall an instruction makes, from the constant put into the number register before it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from triage_tui.binary.disassembly import Instruction

MAX_DISTANCE = 24
"""Instructions looked at before the syscall."""

_MAKERS = {
    "arm": ("svc", ("r7",)),
    "armeb": ("svc", ("r7",)),
    "aarch64": ("svc", ("x8", "w8")),
    "mips": ("syscall", ("$v0",)),
    "mipsel": ("syscall", ("$v0",)),
    "mips64el": ("syscall", ("$v0",)),
    "x86_64": ("syscall", ("eax", "rax")),
    "i386": ("int", ("eax",)),
    "riscv64": ("ecall", ("a7",)),
    "ppc": ("sc", ("r0", "0")),
    "ppc64le": ("sc", ("r0", "0")),
    "s390x": ("svc", ("%r1",)),
}
"""Architecture -> (mnemonic of the syscall instruction, names of the number register)."""
_READERS = ("st", "sw", "sd", "cmp", "test", "b", "tst")
"""What mnemonics begin with whose first operand is not changed."""
_WRITERS = ("mov", "li", "addi", "daddi", "ori", "c.li", "lghi", "lhi")
"""What mnemonics begin with that put a constant into their first operand."""
_CONSTANT = re.compile(r"(?:\$?zero, )?#?(0x[0-9a-f]+|\d+)$")


def makes_syscall(arch: str, insn: Instruction) -> bool:
    """Say whether the instruction makes a syscall."""
    mnemonic, _ = _MAKERS.get(arch, ("", ()))
    if arch == "i386" and insn.mnemonic == "call":
        # The C library calls through the thread block.
        return "gs:[0x10]" in insn.operands
    return insn.mnemonic == mnemonic and (arch != "i386" or insn.operands == "0x80")


def number_register(arch: str) -> str:
    """Return the name of the register that holds the number."""
    return {"x86_64": "rax", "i386": "rax", "aarch64": "x8", "s390x": "1"}.get(
        arch, _MAKERS.get(arch, ("", ("",)))[1][0].removeprefix("$")
    )


def syscall_number(arch: str, insns: Sequence[Instruction], index: int) -> int | None:
    """Return the number of the syscall that `insns[index]` makes; None for any other or an unknown number."""
    insn = insns[index]
    if not makes_syscall(arch, insn):
        return None
    if arch == "s390x" and insn.operands != "0":
        return int(insn.operands, 0)
    found = _constant_before(arch, insns, index)
    return insn.number if found is None else found


def _constant_before(arch: str, insns: Sequence[Instruction], index: int) -> int | None:
    """Return the constant that was last put into the number register."""
    registers = _MAKERS[arch][1]
    for before in reversed(insns[max(0, index - MAX_DISTANCE) : index]):
        if before.is_call or before.is_return:
            return None
        target, _, rest = before.operands.partition(", ")
        if target not in registers or before.mnemonic.startswith(_READERS):
            continue
        if before.mnemonic == "xor" and rest == target:
            return 0
        constant = _CONSTANT.fullmatch(rest)
        if constant is None or not before.mnemonic.startswith(
            ("mov", "li", "addi", "daddi", "ori", "c.li", "lghi", "lhi")
        ):
            return None
        return int(constant[1], 0)
    return None
