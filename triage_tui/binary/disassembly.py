"""Decode machine code with capstone and follow the constants that it builds.

The constants are what makes firmware code readable: addresses of strings and imported functions are put
together from literal pools, page addresses and halves, one instruction at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import capstone
from capstone import CS_GRP_CALL, CS_GRP_JUMP, CS_GRP_RET, CS_OP_IMM, CS_OP_MEM, CS_OP_REG

MAX_INSTRUCTIONS = 4000

_MODES = {
    "arm": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM | capstone.CS_MODE_V8),
    "armeb": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM | capstone.CS_MODE_BIG_ENDIAN),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    "mips": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32),
    "mipsel": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    "ppc": (capstone.CS_ARCH_PPC, capstone.CS_MODE_32 | capstone.CS_MODE_BIG_ENDIAN),
}
_BIG_ENDIAN = ("mips", "armeb", "ppc")

_FOLLOWED = ("arm", "aarch64", "mips")
"""Architectures whose constants are followed; the others are only decoded."""

_CALL_CLOBBERED = {
    "arm": {"r0", "r1", "r2", "r3", "ip", "r12", "lr"},
    "aarch64": {f"x{i}" for i in range(19)} | {f"w{i}" for i in range(19)} | {"x30"},
    "mips": {"at", "v0", "v1", "a0", "a1", "a2", "a3", "t8", "t9", "ra"} | {f"t{i}" for i in range(8)},
}


@dataclass(slots=True)
class Instruction:
    """One decoded instruction, or data between instructions (mnemonic ".byte")."""

    address: int
    data: bytes
    mnemonic: str
    operands: str
    target: int | None = None
    """Where a direct branch or call goes."""
    constant: int | None = None
    """The address (or value) that is complete in a register after this instruction."""
    loaded_from: int | None = None
    """The address of the word that it loads, where that is known."""
    called: int | None = None
    """The known value of the register through which it calls; `loaded_from` says where that came from."""
    is_call: bool = False
    is_return: bool = False
    is_jump: bool = False


def supports(arch: str) -> bool:
    """Say whether instructions of the architecture `arch` can be decoded."""
    return arch in _MODES


@lru_cache(maxsize=32)
def _engine(arch: str, thumb: bool) -> Any:
    machine, mode = _MODES[arch]
    if thumb:
        mode = capstone.CS_MODE_THUMB | (capstone.CS_MODE_BIG_ENDIAN if arch == "armeb" else 0)
    elif arch in _BIG_ENDIAN:
        mode |= capstone.CS_MODE_BIG_ENDIAN
    engine = capstone.Cs(machine, mode)
    engine.detail = True
    engine.skipdata = True
    return engine


def decode(arch: str, code: bytes, address: int, *, thumb: bool = False) -> list[Instruction]:
    """Return the instructions in `code`, which lies at `address`; at most MAX_INSTRUCTIONS.

    Raises:
        ValueError: the architecture is unknown.
    """
    if not supports(arch):
        raise ValueError(f"no disassembler for {arch}")
    return [_plain(arch, insn) for insn in _raw(arch, code, address, thumb)]


def _raw(arch: str, code: bytes, address: int, thumb: bool) -> list[Any]:
    return list(_engine(arch, thumb).disasm(code, address, count=MAX_INSTRUCTIONS))


def _plain(arch: str, insn: Any) -> Instruction:
    result = Instruction(insn.address, bytes(insn.bytes), insn.mnemonic, insn.op_str)
    if insn.id == 0:
        return result
    groups = set(insn.groups)
    result.is_return = CS_GRP_RET in groups or _returns(arch, insn)
    result.is_call = CS_GRP_CALL in groups or insn.mnemonic in _CALL_MNEMONICS
    result.is_jump = not result.is_call and (CS_GRP_JUMP in groups or insn.mnemonic in ("b", "bal"))
    if result.is_call or result.is_jump:
        numbers = [op.imm for op in insn.operands if op.type == CS_OP_IMM]
        if numbers:
            result.target = numbers[-1] & (0xFFFFFFFFFFFFFFFF if arch.endswith("64") else 0xFFFFFFFF)
    return result


_CALL_MNEMONICS = frozenset(["bl", "blx", "jal", "jalr", "bal", "bgezal", "blr", "call"])


def _returns(arch: str, insn: Any) -> bool:
    text = f"{insn.mnemonic} {insn.op_str}"
    if arch.startswith("arm"):
        return text == "bx lr" or (insn.mnemonic.startswith(("pop", "ldm")) and "pc}" in insn.op_str)
    return text in ("jr $ra", "ret ", "ret")


_MIPS_STORES = frozenset(
    ["sb", "sh", "sw", "swl", "swr", "sc", "swc1", "sdc1", "cache", "pref", "mtc1", "mtc0"]
)


def _written(arch: str, insn: Any) -> list[str]:
    """Return the names of the registers that the instruction changes."""
    if not arch.startswith("mips"):
        return [insn.reg_name(register) for register in insn.regs_access()[1]]
    # capstone 5 does not say it for MIPS: the first operand is the target but for stores and branches.
    operands = insn.operands
    if not operands or operands[0].type != CS_OP_REG or insn.mnemonic in _MIPS_STORES:
        return []
    if insn.mnemonic.startswith(("b", "j")):
        return []
    return [insn.reg_name(operands[0].reg)]


class _Tracker:
    """Register values that straight-line code builds."""

    def __init__(self, arch: str, read_word: Callable[[int], int | None], gp: int | None) -> None:
        self.arch = arch
        self.family = "mips" if arch.startswith("mips") else "arm" if arch.startswith("arm") else arch
        self.word = 8 if arch == "aarch64" else 4
        self.mask = (1 << self.word * 8) - 1
        self.read_word = read_word
        # gp is one value all over a module; saving and restoring it around calls changes nothing.
        self.pinned = set() if gp is None else {"gp"}
        self.values: dict[str, int] = {} if gp is None else {"gp": gp}
        self.loads: dict[str, int] = {}
        self.makers: dict[str, Instruction] = {}
        """The instruction that gave a register its known value."""
        self.clobber_next = False

    def operand(self, insn: Any, op: Any) -> int | None:
        """Return the value of a register or immediate operand, or None if it is unknown."""
        if op.type == CS_OP_IMM:
            return int(op.imm)
        if op.type != CS_OP_REG:
            return None
        name = insn.reg_name(op.reg)
        if name in ("zero", "xzr", "wzr", "0"):
            return 0
        return self.values.get(name)

    def step(self, insn: Any, out: Instruction, pc: int) -> None:
        """Follow one instruction and note in `out` what it completes."""
        operands = insn.operands
        pending = self.clobber_next
        self.clobber_next = False
        if out.is_call:
            register = next((op for op in reversed(operands) if op.type == CS_OP_REG), None)
            if register is not None and out.target is None:
                name = insn.reg_name(register.reg)
                out.called, out.loaded_from = self.values.get(name), self.loads.get(name)
        else:
            value, source = self._result(insn, operands, pc)
            for name in set(_written(self.arch, insn)) - self.pinned:
                self.values.pop(name, None)
                self.loads.pop(name, None)
            if operands and operands[0].type == CS_OP_REG:
                name = insn.reg_name(operands[0].reg)
                if name in self.pinned:
                    return
                if value is not None:
                    self.values[name] = value & self.mask
                    self.makers[name] = out
                    # A page or an upper half alone says nothing yet.
                    out.constant = None if insn.mnemonic in ("adrp", "lui") else value & self.mask
                if source is not None:
                    self.loads[name] = out.loaded_from = source & self.mask
        if pending:
            self.forget(_CALL_CLOBBERED.get(self.family, set()))
        if out.is_call:
            # On MIPS the instruction in the delay slot still runs before the call.
            if self.family == "mips":
                self.clobber_next = True
            else:
                self.forget(_CALL_CLOBBERED.get(self.family, set()))

    def forget(self, names: set[str]) -> None:
        for name in names - self.pinned:
            self.values.pop(name, None)
            self.loads.pop(name, None)

    def keep_only(self, names: set[str]) -> None:
        """Forget all but `names`: another path may lead here."""
        self.forget((set(self.values) | set(self.loads)) - names)

    def _memory(self, insn: Any, op: Any, pc: int) -> int | None:
        """Return the address of a memory operand, or None if a part of it is unknown."""
        base = insn.reg_name(op.mem.base) if op.mem.base else None
        start = pc & ~3 if base == "pc" else self.values.get(base or "")
        if start is None:
            return None
        offset = int(op.mem.disp)
        index = getattr(op.mem, "index", 0)
        if index:
            name = insn.reg_name(index)
            value = pc if name == "pc" else self.values.get(name)
            if value is None or (getattr(op, "shift", None) and op.shift.value):
                return None
            offset += value
        return (start + offset) & self.mask

    def _result(self, insn: Any, operands: Sequence[Any], pc: int) -> tuple[int | None, int | None]:
        """Return (value of the first operand afterwards, address it was loaded from), each may be None."""
        name = insn.mnemonic.removesuffix(".w")
        last = operands[-1] if operands else None
        if last is None or operands[0].type != CS_OP_REG:
            return None, None
        if name in ("ldr", "lw") and last.type == CS_OP_MEM and len(operands) == 2:
            address = self._memory(insn, last, pc)
            if insn.reg_name(operands[0].reg).startswith("w"):
                # Half a register on AArch64.
                return None, None
            return (None, None) if address is None else (self.read_word(address), address)
        if name == "lui":
            return int(last.imm) << 16, None
        if name in ("movw", "mov", "move", "li", "adrp", "adr", "movz"):
            value = self.operand(insn, last)
            if name == "adr" and self.family == "arm" and value is not None:
                value += pc & ~3
            return value, None
        if name == "movt":
            low = self.values.get(insn.reg_name(operands[0].reg))
            return (None, None) if low is None else (low & 0xFFFF | int(last.imm) << 16, None)
        if name in ("add", "addiu", "addu", "sub", "ori", "adds", "subs"):
            return self._sum(insn, operands, name, pc), None
        return None, None

    def _sum(self, insn: Any, operands: Sequence[Any], name: str, pc: int) -> int | None:
        pair = operands[-2:] if len(operands) > 1 else ()
        values = []
        uses_pc = False
        for op in pair:
            if getattr(op, "shift", None) and op.shift.value and op.type == CS_OP_REG:
                return None
            is_pc = op.type == CS_OP_REG and insn.reg_name(op.reg) == "pc"
            uses_pc = uses_pc or is_pc
            value = pc if is_pc else self.operand(insn, op)
            if value is None:
                return None
            shift = op.shift.value if self.family == "aarch64" and op.type == CS_OP_IMM else 0
            values.append(value << shift)
        if len(values) < 2:
            return None
        if uses_pc:
            # What was loaded before is a distance, not an address.
            for op in pair:
                maker = self.makers.get(insn.reg_name(op.reg)) if op.type == CS_OP_REG else None
                if maker is not None:
                    maker.constant = maker.loaded_from = None
        if name.startswith("sub"):
            return values[0] - values[1]
        return values[0] | values[1] if name == "ori" else values[0] + values[1]


def follow(
    arch: str,
    code: bytes,
    address: int,
    read_word: Callable[[int], int | None],
    *,
    thumb: bool = False,
    gp: int | None = None,
) -> list[Instruction]:
    """Decode as `decode` does and note constants, literal loads and known call targets.

    `read_word` reads a machine word of guest memory (None: unreadable). `gp` is the value of the MIPS
    register gp. Where a branch can come from elsewhere only registers that are written once stay known.
    """
    raw = _raw(arch, code, address, thumb)
    result = [_plain(arch, insn) for insn in raw]
    if not arch.startswith(_FOLLOWED):
        return result
    labels = {insn.target for insn in result if insn.is_jump and insn.target is not None}
    writes: Counter[str] = Counter()
    for insn in raw:
        if insn.id:
            writes.update(_written(arch, insn))
    once = {name for name, count in writes.items() if count == 1}
    tracker = _Tracker(arch, read_word, gp)
    for insn, out in zip(raw, result, strict=True):
        if insn.id == 0:
            continue
        if insn.address in labels:
            tracker.keep_only(once)
        ahead = (4 if thumb else 8) if arch.startswith("arm") else 0
        tracker.step(insn, out, insn.address + ahead)
    return result
