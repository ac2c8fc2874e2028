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
}
"""Architecture -> (mnemonic of the syscall instruction, names of the number register)."""
_READERS = ("st", "sw", "sd", "cmp", "test", "b", "tst")
"""What mnemonics begin with whose first operand is not changed."""
_CONSTANT = re.compile(r"(?:\$?zero, )?#?(0x[0-9a-f]+|\d+)$")


def syscall_number(arch: str, insns: Sequence[Instruction], index: int) -> int | None:
    """Return the number of the syscall that `insns[index]` makes; None for any other or an unknown number."""
    mnemonic, registers = _MAKERS.get(arch, ("", ()))
    insn = insns[index]
    if insn.mnemonic != mnemonic:
        # i386: the C library calls through the thread block.
        if arch != "i386" or insn.mnemonic != "call" or "gs:[0x10]" not in insn.operands:
            return None
    elif arch == "i386" and insn.operands != "0x80":
        return None
    for before in reversed(insns[max(0, index - MAX_DISTANCE) : index]):
        if before.is_call or before.is_return:
            return None
        target, _, rest = before.operands.partition(", ")
        if target not in registers or before.mnemonic.startswith(
            ("st", "sw", "sd", "cmp", "test", "b", "tst")
        ):
            continue
        if before.mnemonic == "xor" and rest == target:
            return 0
        constant = _CONSTANT.fullmatch(rest)
        if constant is None or not before.mnemonic.startswith(("mov", "li", "addi", "daddi", "ori", "c.li")):
            return None
        return int(constant[1], 0)
    return None
