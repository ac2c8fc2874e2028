"""Decode machine code with capstone: what each instruction is, and where direct branches go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import capstone
import msgspec
from capstone import CS_GRP_CALL, CS_GRP_JUMP, CS_GRP_RET, CS_OP_IMM, CS_OP_REG

MAX_INSTRUCTIONS = 4000

_MODES = {
    "arm": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM | capstone.CS_MODE_V8),
    "armeb": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM | capstone.CS_MODE_BIG_ENDIAN),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    "mips": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32 | capstone.CS_MODE_BIG_ENDIAN),
    "mipsel": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32),
    "mips64el": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS64),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    "ppc": (capstone.CS_ARCH_PPC, capstone.CS_MODE_32 | capstone.CS_MODE_BIG_ENDIAN),
    "ppc64le": (capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_LITTLE_ENDIAN),
    "s390x": (capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN),
}
_FAMILIES = {
    "armeb": "arm",
    **dict.fromkeys(("mips", "mipsel", "mips64el"), "mips"),
    **dict.fromkeys(("x86_64", "i386"), "x86"),
    **dict.fromkeys(("ppc", "ppc64le"), "ppc"),
}
_WIDE = ("aarch64", "mips64el", "x86_64", "riscv64", "ppc64le", "s390x")


class Instruction(msgspec.Struct):
    """One decoded instruction, or data between instructions (mnemonic ".byte")."""

    address: int
    data: bytes
    mnemonic: str
    operands: str
    target: int | None = None
    """Where a direct branch or call goes."""
    constant: int | None = None
    """The address (or value) that is complete in a register after this instruction, or that it stores."""
    loaded_from: int | None = None
    """The address of the word that it loads, where that is known."""
    refers: int | None = None
    """The address of the memory that it reads or changes otherwise, where that is known."""
    called: int | None = None
    """Where an indirect call or jump goes, if known; `loaded_from` says where that value came from."""
    base: int | None = None
    """At a direct call: the register with which linkage stubs find the module's table, if known."""
    number: int | None = None
    """Of an instruction that makes a syscall: the known value of the register with the call's number."""
    is_call: bool = False
    is_return: bool = False
    is_jump: bool = False


def family(arch: str) -> str:
    """Return the instruction set of an architecture: "arm", "aarch64", "mips", "x86", "ppc", ..."""
    return _FAMILIES.get(arch, arch)


def word_size(arch: str) -> int:
    """Return the bytes of a register of `arch`."""
    return 8 if arch in _WIDE else 4


def supports(arch: str) -> bool:
    """Say whether instructions of the architecture `arch` can be decoded."""
    return arch in _MODES


@lru_cache(maxsize=32)
def _engine(arch: str, thumb: bool) -> Any:
    engine = lite_engine(arch, thumb)
    engine.detail = True
    return engine


def lite_engine(arch: str, thumb: bool = False) -> Any:
    """Return a new capstone engine that gives text only and goes on behind what is no instruction."""
    machine, mode = _MODES[arch]
    if thumb:
        mode = capstone.CS_MODE_THUMB | (capstone.CS_MODE_BIG_ENDIAN if arch == "armeb" else 0)
    engine = capstone.Cs(machine, mode)
    engine.skipdata = True
    if arch == "s390x":
        engine.skipdata_setup = (".byte", _s390x_length, None)
    return engine


def _s390x_length(code: Any, size: int, offset: int, _user: object) -> int:
    """Return the bytes of an instruction that capstone does not know, so that it goes on behind it.

    Its first two bits say it (z/Architecture Principles of Operation, "Instruction Formats").
    """
    return min((2, 4, 4, 6)[code[offset][0] >> 6], size - offset)


def decode(arch: str, code: bytes, address: int, *, thumb: bool = False) -> list[Instruction]:
    """Return the instructions in `code`, which lies at `address`; at most MAX_INSTRUCTIONS.

    Raises:
        ValueError: the architecture is unknown.
    """
    if not supports(arch):
        raise ValueError(f"no disassembler for {arch}")
    return [plain(arch, insn) for insn in raw(arch, code, address, thumb)]


def raw(arch: str, code: bytes, address: int, thumb: bool, most: int = MAX_INSTRUCTIONS) -> list[Any]:
    """Return capstone's instructions in `code`, the first `most` at most."""
    return list(_engine(arch, thumb).disasm(code, address, count=most))


def plain(arch: str, insn: Any) -> Instruction:
    """Return what one of capstone's instructions says by itself."""
    # Each of capstone's attributes is made anew when it is asked for.
    mnemonic, text = insn.mnemonic, insn.op_str
    result = Instruction(insn.address, bytes(insn.bytes), mnemonic, text)
    if insn.id == 0:
        return result
    groups = insn.groups
    result.is_return = CS_GRP_RET in groups or _returns(arch, mnemonic, text)
    result.is_call = not result.is_return and _calls(arch, insn, groups, mnemonic, text)
    jumps = CS_GRP_JUMP in groups or mnemonic in ("b", "bal", "j", "jr", "jalr")
    result.is_jump = not result.is_call and not result.is_return and (jumps or writes_pc(insn, mnemonic))
    if result.is_call or result.is_jump:
        numbers = [op.imm for op in insn.operands if op.type == CS_OP_IMM]
        if numbers and mnemonic not in ("jalr", "jr"):
            # Capstone gives the distance for RISC-V, an address for all others.
            start = insn.address if arch == "riscv64" else 0
            result.target = (start + numbers[-1]) & ((1 << 8 * word_size(arch)) - 1)
            if arch == "riscv64":
                result.operands = ", ".join([*text.split(", ")[:-1], f"0x{result.target:x}"])
    if arch.startswith("ppc") and is_pc_read(insn):
        # Capstone names it by its condition only.
        result.mnemonic, result.operands = "bcl", f"20, 31, 0x{insn.address + 4:x}"
        result.is_call = result.is_jump = False
    return result


_CALL_MNEMONICS = {
    "aarch64": frozenset(["bl", "blr"]),
    "ppc": frozenset(["bl", "bla", "bctrl", "blrl"]),
    "s390x": frozenset(["brasl", "bras", "basr"]),
}
_USUAL_CALLS = frozenset(["bl", "blx", "jal", "jalr", "bal", "bgezal", "call"])


def _calls(arch: str, insn: Any, groups: Sequence[int], mnemonic: str, text: str) -> bool:
    if arch == "riscv64":
        # Capstone calls every jump of this kind a call: what the link register is decides.
        full = mnemonic == "jalr" and len(insn.operands) == 3
        return mnemonic in ("jal", "c.jalr") or (
            mnemonic == "jalr" and (not full or text.split(",")[0] == "ra")
        )
    return CS_GRP_CALL in groups or mnemonic in _CALL_MNEMONICS.get(family(arch), _USUAL_CALLS)


def is_pc_read(insn: Any) -> bool:
    """Say whether a PowerPC instruction is `bcl 20,31,$+4`, which only puts the next address into lr."""
    return insn.mnemonic in ("bcl", "bdnzl") and insn.operands[-1].imm == insn.address + 4


def writes_pc(insn: Any, mnemonic: str) -> bool:
    """Say whether the instruction, of this mnemonic, loads ARM's pc, other than from the stack."""
    if not mnemonic.startswith("ldr") or not insn.operands or insn.operands[0].type != CS_OP_REG:
        return False
    return str(insn.reg_name(insn.operands[0].reg)) == "pc"


def _returns(arch: str, mnemonic: str, operands: str) -> bool:
    text = f"{mnemonic} {operands}".strip()
    if arch.startswith("arm"):
        return text == "bx lr" or (mnemonic.startswith(("pop", "ldm")) and "pc}" in operands)
    if arch.startswith("ppc"):
        return text == "blr"
    return text in ("jr $ra", "ret", "jr ra", "c.jr ra", "br %r14")
