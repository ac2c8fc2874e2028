"""Follow the constants that machine code builds.

They are what makes firmware code readable: addresses of strings and imported functions are put together from
literal pools, page addresses and halves, one instruction at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from capstone import CS_OP_IMM, CS_OP_MEM, CS_OP_REG

from triage_tui.binary.disassembly import (
    Instruction,
    family,
    is_pc_read,
    plain,
    raw,
    word_size,
)
from triage_tui.binary.registers import canonical, clobbered, is_zero, restores, written
from triage_tui.binary.syscall_sites import makes_syscall, number_register


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOADS = {
    "arm": {"ldr"},
    "aarch64": {"ldr"},
    "mips": {"lw", "ld"},
    "x86": {"mov"},
    "ppc": {"lwz", "ld"},
    "riscv64": {"ld", "lw", "c.ld", "c.lw"},
    "s390x": {"lg", "lgrl"},
}
_COPIES = _names("mov movw movz adrp adr move li mr lgr lgfi lghi lhi larl c.li c.mv mv movabs mtctr mtlr")
_SUMS = _names("add adds addi addiu addu daddiu daddu aghi agr agfi c.add c.addi ori sub subs addw")
_HIGH = {"lui": 16, "lis": 16}
TABLE_REGISTERS = {"i386": "rbx", "ppc": "r30", "ppc64le": "r2"}
"""With what a linkage stub may find the module's table."""
_PINNED = {
    "i386": {"rbx", "rsi", "rdi", "rbp"},
    "ppc": {"r30", "r31"},
    "ppc64le": {"r2"},
    "s390x": {"12"},
    **{key: {"gp"} for key in ("mips", "mipsel", "mips64el")},
}
"""Registers that may hold the address of the module's table all over a function."""


class Tracker:
    """Register values that straight-line code builds."""

    def __init__(self, arch: str, read_word: Callable[[int], int | None], known: Mapping[str, int]) -> None:
        """Start with the values `known`, by name."""
        self.arch = arch
        self.family = family(arch)
        self.word = word_size(arch)
        self.mask = (1 << self.word * 8) - 1
        self.read_word = read_word
        # They are one value all over a module; saving and restoring them around calls changes nothing.
        self.fixed = {"gp", "r2"} & set(known) if self.family in ("mips", "ppc") else set()
        self.pinned: set[str] = set()
        """Like `fixed`, until something else than a restored value is put in."""
        self.values: dict[str, int] = dict(known)
        self.loads: dict[str, int] = {}
        self.makers: dict[str, Instruction] = {}
        """The instruction that gave a register its known value."""
        # MIPS functions of position-independent code are entered with their own address in t9.
        self.from_pc: set[str] = {"t9"} & set(known)
        """Registers whose value comes from reading the pc."""
        self.pushed: int | None = None
        """i386: the address that a call of the next instruction has left on the stack."""
        self.clobber_next = False

    def _name(self, insn: Any, register: int) -> str:
        return canonical(self.arch, insn.reg_name(register))

    def operand(self, insn: Any, op: Any) -> int | None:
        """Return the value of a register or immediate operand, or None if it is unknown."""
        if op.type == CS_OP_IMM:
            return int(op.imm)
        if op.type != CS_OP_REG:
            return None
        name = self._name(insn, op.reg)
        return 0 if is_zero(name) else self.values.get(name)

    def step(self, insn: Any, out: Instruction, pc: int, changed: Set[str]) -> None:
        """Follow one instruction, which writes the registers `changed`; note in `out` what it completes."""
        pending = self.clobber_next
        self.clobber_next = False
        if self.family == "ppc" and is_pc_read(insn):
            self.values["lr"] = insn.address + 4
            self.from_pc.add("lr")
            return
        if makes_syscall(self.arch, out):
            out.number = self.values.get(number_register(self.arch))
        if out.is_call or out.is_jump:
            self._leave(insn, out, pc)
        else:
            self._follow(insn, out, pc, changed)
        if pending:
            self.forget(clobbered(self.arch))
        if out.is_call:
            # On MIPS the instruction in the delay slot still runs before the call.
            if self.family == "mips":
                self.clobber_next = True
            elif makes_syscall(self.arch, out):
                self.forget({"rax"})
            elif not self._reads_pc(out):
                self.forget(clobbered(self.arch))

    def _leave(self, insn: Any, out: Instruction, pc: int) -> None:
        """Note where a call or jump goes."""
        out.base = self.values.get(TABLE_REGISTERS.get(self.arch, ""))
        if out.target is not None:
            return
        if insn.mnemonic in ("bctrl", "bctr", "blrl"):
            name = "lr" if insn.mnemonic == "blrl" else "ctr"
            out.called, out.loaded_from = self.values.get(name), self.loads.get(name)
            return
        last = insn.operands[-1] if insn.operands else None
        if last is None:
            return
        offset = 0
        if self.family == "riscv64" and last.type == CS_OP_IMM and len(insn.operands) > 1:
            offset, last = int(last.imm), insn.operands[-2]
        if last.type == CS_OP_MEM:
            address = self._memory(insn, last, pc)
            if address is not None:
                out.loaded_from, out.called = address, self.read_word(address)
        elif last.type == CS_OP_REG:
            name = self._name(insn, last.reg)
            value = self.values.get(name)
            out.called = None if value is None else (value + offset) & self.mask
            out.loaded_from = self.loads.get(name) if not offset else None

    def _reads_pc(self, out: Instruction) -> bool:
        """Follow an i386 call that only reads the pc; False for any other call."""
        if self.arch != "i386" or out.target is None:
            return False
        after = out.address + len(out.data)
        if out.target == after:
            self.pushed = after
            return True
        # mov reg, [esp]; ret
        thunk = self.read_word(out.target) or 0
        if thunk & 0xFFFFC7FF != 0xC324048B:
            return False
        name = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi")[thunk >> 11 & 7]
        self._set(name, after, None, out, from_pc=True)
        return True

    def _follow(self, insn: Any, out: Instruction, pc: int, changed: Set[str]) -> None:
        """Follow an instruction that stays in the function."""
        operands = insn.operands
        first = operands[0] if operands else None
        value, source, from_pc = self._result(insn, operands, pc)
        target = self._name(insn, first.reg) if first is not None and first.type == CS_OP_REG else ""
        if self.family == "ppc" and insn.mnemonic in ("mtctr", "mtlr") and target:
            source = self.loads.get(target)
            target = insn.mnemonic[2:]
        changed = changed - self.fixed
        if self.pinned & changed:
            if restores(self.arch, insn):
                changed -= self.pinned
                if target in self.pinned:
                    target = ""
            self.pinned -= changed
        for name in changed:
            self.values.pop(name, None)
            self.loads.pop(name, None)
            self.from_pc.discard(name)
        if target and target not in self.fixed and target in changed:
            self._set(target, value, source, out, from_pc=from_pc)
            # A page or an upper half alone says nothing yet.
            if insn.mnemonic not in ("adrp", "lui", "lis", "auipc", "c.lui", "addis"):
                out.constant = None if value is None else value & self.mask
            out.loaded_from = None if source is None else source & self.mask
        if value is None and source is None:
            self._mention(insn, out, operands, pc)

    def _set(
        self, name: str, value: int | None, source: int | None, out: Instruction, *, from_pc: bool
    ) -> None:
        if value is not None:
            self.values[name] = value & self.mask
            self.makers[name] = out
            if from_pc:
                self.from_pc.add(name)
                if name in _PINNED.get(self.arch, ()):
                    self.pinned.add(name)
        if source is not None:
            self.loads[name] = source & self.mask

    def _mention(self, insn: Any, out: Instruction, operands: Sequence[Any], pc: int) -> None:
        """Note the addresses in an instruction that completes no register."""
        for op in operands:
            if op.type == CS_OP_MEM:
                out.refers = self._memory(insn, op, pc)
        immediate = bool(operands) and operands[-1].type == CS_OP_IMM
        if self.arch == "s390x" and insn.mnemonic.endswith("rl") and immediate:
            # Relative to the pc; an operand like any other for capstone.
            out.refers = int(operands[-1].imm)
        if self.family == "x86" and immediate:
            out.constant = int(operands[-1].imm) & self.mask

    def forget(self, names: frozenset[str] | set[str]) -> None:
        """Forget registers, but for those that hold one value everywhere."""
        for name in names - self.fixed - self.pinned:
            self.values.pop(name, None)
            self.loads.pop(name, None)
            self.from_pc.discard(name)

    def keep_only(self, names: set[str]) -> None:
        """Forget all but `names`: another path may lead here."""
        self.forget((set(self.values) | set(self.loads)) - names)

    def _memory(self, insn: Any, op: Any, pc: int) -> int | None:
        """Return the address of a memory operand, or None if a part of it is unknown."""
        base = self._name(insn, op.mem.base) if op.mem.base else ""
        index = getattr(op.mem, "index", 0)
        if self.family == "x86":
            if op.mem.segment or index:
                return None
            if base == "rip":
                return (int(insn.address) + int(insn.size) + int(op.mem.disp)) & self.mask
            if not base:
                return int(op.mem.disp) & self.mask
        start = pc & ~3 if base == "pc" else self.values.get(base)
        if start is None:
            return None
        offset = int(op.mem.disp)
        if index:
            name = self._name(insn, index)
            value = pc if name == "pc" else self.values.get(name)
            if value is None or (getattr(op, "shift", None) and op.shift.value):
                return None
            offset += value
        return (start + offset) & self.mask

    def _loaded(self, insn: Any, operands: Sequence[Any], pc: int) -> tuple[int | None, int | None] | None:
        """Return (value, address) of an instruction that loads a whole register; None for any other."""
        name = insn.mnemonic.removesuffix(".w")
        if name not in _LOADS.get(self.family, ()) or self._is_part(insn, operands[0]):
            return None
        last = operands[-1]
        address: int | None = None
        if last.type == CS_OP_MEM and len(operands) == 2:
            address = self._memory(insn, last, pc)
        elif name == "lgrl":
            address = int(last.imm)
        elif name.startswith("c.l") and len(operands) == 3 and last.type == CS_OP_REG:
            base = self.values.get(self._name(insn, last.reg))
            address = None if base is None else base + int(operands[1].imm)
        else:
            return None
        return (None, None) if address is None else (self.read_word(address & self.mask), address)

    def _is_part(self, insn: Any, op: Any) -> bool:
        """Say whether an operand is less than a register."""
        name = insn.reg_name(op.reg)
        if self.family == "aarch64":
            return str(name).startswith("w")
        if self.family == "x86":
            return int(op.size) != self.word
        return self.word == 8 and insn.mnemonic in ("lw", "lwz", "c.lw")

    def _result(self, insn: Any, operands: Sequence[Any], pc: int) -> tuple[int | None, int | None, bool]:
        """Return (value of the first operand afterwards, address it was loaded from, made from the pc)."""
        name = insn.mnemonic.removesuffix(".w")
        last = operands[-1] if operands else None
        if last is None or operands[0].type != CS_OP_REG:
            return None, None, False
        if self.family == "x86" and operands[0].size < 4:
            return None, None, False
        loaded = self._loaded(insn, operands, pc)
        if loaded is not None:
            return *loaded, False
        if name in _HIGH and last.type == CS_OP_IMM:
            shift = 12 if self.family == "riscv64" else _HIGH[name]
            return self._upper(int(last.imm), shift), None, False
        if name in ("auipc", "c.lui"):
            upper = self._upper(int(last.imm), 12)
            return upper + (pc if name == "auipc" else 0), None, False
        if name in ("pop", "mflr"):
            value = self.pushed if name == "pop" else self.values.get("lr")
            self.pushed = None
            return value, None, value is not None
        if name in ("lea", "la", "lay") and last.type == CS_OP_MEM:
            return self._memory(insn, last, pc), None, self._is_from_pc(insn, last)
        if name in _COPIES:
            value = self.operand(insn, last)
            if name == "adr" and self.family == "arm" and value is not None:
                value += pc & ~3
            return value, None, name == "larl"
        if (
            name == "xor"
            and self.family == "x86"
            and insn.op_str.split(", ")[0] == insn.op_str.split(", ")[-1]
        ):
            return 0, None, False
        if name in ("movt", "movk"):
            return self._halfword(insn, operands), None, False
        if name == "addis":
            if self.arch == "ppc64le" and insn.op_str.startswith("r2, r12,"):
                # The function's first instruction; r12 holds its address (ELFv2 ABI, 2.3.2.1).
                self.values["r12"] = insn.address
                self.from_pc.add("r12")
            high = self._sum(insn, [operands[1], last], "add", pc, shift=16)
            return high, None, self._is_from_pc(insn, operands[1])
        if name in _SUMS:
            from_pc = any(self._is_from_pc(insn, op) for op in operands[-2:])
            return self._sum(insn, operands, name, pc), None, from_pc
        return None, None, False

    def _upper(self, number: int, shift: int) -> int:
        """Return a number shifted to where `lui` and its like put it, with the sign of a 32-bit value."""
        value = (number << shift) & 0xFFFFFFFF
        return value - (1 << 32) if self.word == 8 and value >> 31 else value

    def _is_from_pc(self, insn: Any, op: Any) -> bool:
        register = op.reg if op.type == CS_OP_REG else op.mem.base if op.type == CS_OP_MEM else 0
        return bool(register) and self._name(insn, register) in self.from_pc

    def _halfword(self, insn: Any, operands: Sequence[Any]) -> int | None:
        """Return the register after a 16-bit part of it was replaced."""
        low = self.values.get(self._name(insn, operands[0].reg))
        if low is None:
            return None
        shift = 16 if insn.mnemonic.startswith("movt") else operands[-1].shift.value
        return int(low & ~(0xFFFF << shift) | int(operands[-1].imm) << shift)

    def _sum(self, insn: Any, operands: Sequence[Any], name: str, pc: int, *, shift: int = 0) -> int | None:
        pair = operands[-2:] if len(operands) > 1 else ()
        rotation = 0
        if self.family == "arm" and len(operands) == 4:
            # An immediate with its rotation, where linkers write it so.
            pair, rotation = operands[1:3], int(operands[3].imm)
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
            if op.type == CS_OP_IMM:
                value <<= op.shift.value if self.family == "aarch64" else shift
                value = (value >> rotation | value << (32 - rotation)) & 0xFFFFFFFF if rotation else value
            values.append(value)
        if len(values) < 2:
            return None
        if uses_pc:
            # What was loaded before is a distance, not an address.
            for op in pair:
                maker = self.makers.get(self._name(insn, op.reg)) if op.type == CS_OP_REG else None
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
    known: Mapping[str, int] | None = None,
) -> list[Instruction]:
    """Decode as `decode` does and note constants, literal loads and known call targets.

    `read_word` reads a machine word of guest memory (None: unreadable). `known` gives register values at the
    start, by name; gp of MIPS and r2 of PowerPC hold everywhere. Where a branch can come from elsewhere only
    registers that are written once stay known.
    """
    instructions = raw(arch, code, address, thumb)
    result = [plain(arch, insn) for insn in instructions]
    labels = {insn.target for insn in result if insn.is_jump and insn.target is not None}
    changes: list[Set[str]] = [written(arch, insn) if insn.id else frozenset() for insn in instructions]
    writes: Counter[str] = Counter()
    for changed in changes:
        writes.update(changed)
    once = {name for name, count in writes.items() if count == 1}
    tracker = Tracker(arch, read_word, known or {})
    for insn, out, changed in zip(instructions, result, changes, strict=True):
        if insn.id == 0:
            continue
        if insn.address in labels:
            tracker.keep_only(once)
        ahead = (4 if thumb else 8) if arch.startswith("arm") else 0
        tracker.step(insn, out, insn.address + ahead, changed)
    return result
