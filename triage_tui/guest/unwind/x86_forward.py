"""Find the caller of x86 code without tables by following the code to where the function returns.

Instructions of x86 cannot be read backwards, and its prologues vary; but from a frame's own instruction on
the code can be decoded, and what it still does to the stack until `ret` (pops, `add rsp`, `leave`) says
where the return address lies and gives the caller's registers back. Calls on the way are taken to leave the
stack as it was; both ways of a conditional jump are tried.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import capstone
import msgspec
from capstone import x86_const as x86

from triage_tui.guest.unwind.calls import is_return_address
from triage_tui.guest.unwind.model import Code, Cursor
from triage_tui.guest.unwind.registers import preserved_names

MAX_INSTRUCTIONS = 1500
"""Decoded for one frame, over all paths."""
MAX_PATHS = 24
_BLOCK = 512
"""Bytes decoded at once."""


class _Path(msgspec.Struct):
    """One way through the rest of the function."""

    addr: int
    sp: int
    registers: dict[str, int]
    written: dict[int, int | None] = msgspec.field(default_factory=dict)
    """Words that the path itself has put on the stack; None where the value is unknown."""

    def copy(self, addr: int) -> _Path:
        return _Path(addr, self.sp, dict(self.registers), dict(self.written))


@lru_cache(maxsize=2)
def _engine(word: int) -> Any:
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64 if word == 8 else capstone.CS_MODE_32)
    engine.detail = True
    return engine


def step(code: Code, cursor: Cursor) -> Cursor | None:
    """Return the caller to which the function at `cursor` returns, or None if no path shows one."""
    word = code.memory.arch.word
    engine = _engine(word)
    paths = [_Path(cursor.pc, cursor.sp, dict(cursor.saved))]
    seen: set[int] = set()
    left, opened = MAX_INSTRUCTIONS, 1
    while paths:
        path = paths.pop()
        data = code.memory.read(path.addr, _BLOCK) if code.is_code(path.addr) else b""
        going, begun = bool(data), path.addr
        for insn in engine.disasm(data, path.addr):
            if insn.address in seen or left <= 0:
                going = False
                break
            seen.add(insn.address)
            left -= 1
            path.addr = insn.address + insn.size
            if insn.id in (x86.X86_INS_RET, x86.X86_INS_RETF):
                found = _returned(code, cursor, path, insn)
                if found is not None:
                    return found
                going = False
                break
            target = _jump(insn)
            if target is not None:
                if insn.id == x86.X86_INS_JMP:
                    path.addr = target
                    break
                if opened < MAX_PATHS:
                    opened += 1
                    paths.append(path.copy(target))
            elif not _follow(code, path, insn, word):
                going = False
                break
        else:
            # What cannot be decoded at all ends the path.
            going = going and len(data) > 16 and path.addr > begun
        if going:
            paths.append(path)
    return None


def _jump(insn: Any) -> int | None:
    """Return where a direct jump goes, None for any other instruction."""
    if x86.X86_GRP_JUMP in insn.groups and insn.operands and insn.operands[0].type == x86.X86_OP_IMM:
        return int(insn.operands[0].imm)
    return None


def _returned(code: Code, cursor: Cursor, path: _Path, insn: Any) -> Cursor | None:
    word = code.memory.arch.word
    if path.sp < cursor.sp or path.sp in path.written:
        return None
    ret = code.memory.word(path.sp)
    if ret is None or not is_return_address(code, ret):
        return None
    dropped = int(insn.operands[0].imm) if insn.operands else 0
    kept = preserved_names(code.memory.arch)
    saved = {name: value for name, value in path.registers.items() if name in kept}
    return Cursor(ret, path.sp + word + dropped, None, saved, method="epilogue")


def _names(word: int) -> tuple[str, str]:
    return ("rsp", "rbp") if word == 8 else ("esp", "ebp")


def _follow(code: Code, path: _Path, insn: Any, word: int) -> bool:
    """Do to `path` what the instruction does to the stack and to preserved registers; False ends the path."""
    stack, frame = _names(word)
    operands = insn.operands
    first = operands[0] if operands else None
    target = insn.reg_name(first.reg) if first is not None and first.type == x86.X86_OP_REG else ""
    match insn.id:
        case x86.X86_INS_CALL | x86.X86_INS_SYSCALL | x86.X86_INS_SYSENTER | x86.X86_INS_INT:
            return True
        case x86.X86_INS_HLT | x86.X86_INS_UD2 | x86.X86_INS_INT3 | x86.X86_INS_JMP:
            return False
        case x86.X86_INS_PUSH:
            path.sp -= word
            path.written[path.sp] = path.registers.get(target) if target else None
            return True
        case x86.X86_INS_POP:
            _set(path, target, _load(code, path, path.sp))
            path.sp += word
            return target != stack
        case x86.X86_INS_LEAVE:
            if frame not in path.registers:
                return False
            path.sp = path.registers[frame] + word
            _set(path, frame, _load(code, path, path.sp - word))
            return True
    if target == stack:
        return _moves_stack(path, insn, stack)
    if target == frame and insn.id in (x86.X86_INS_MOV, x86.X86_INS_LEA):
        value = _value(path, insn, operands[1], stack)
        _set(path, frame, value)
        return True
    for register in insn.regs_access()[1]:
        name = insn.reg_name(register)
        if name == stack:
            return False
        path.registers.pop(name, None)
    return True


def _set(path: _Path, name: str, value: int | None) -> None:
    if value is None:
        path.registers.pop(name, None)
    else:
        path.registers[name] = value


def _load(code: Code, path: _Path, addr: int) -> int | None:
    return path.written[addr] if addr in path.written else code.memory.word(addr)


def _value(path: _Path, insn: Any, operand: Any, stack: str) -> int | None:
    """Return the value of a register, or the address of a memory operand of `lea`."""
    known = path.registers | {stack: path.sp}
    if operand.type == x86.X86_OP_REG:
        return known.get(insn.reg_name(operand.reg))
    if insn.id != x86.X86_INS_LEA or operand.type != x86.X86_OP_MEM or operand.mem.index:
        return None
    base = known.get(insn.reg_name(operand.mem.base) or "")
    return None if base is None else base + int(operand.mem.disp)


def _moves_stack(path: _Path, insn: Any, stack: str) -> bool:
    """Do an instruction whose target is the stack pointer; False if its new value is unknown."""
    operand = insn.operands[1] if len(insn.operands) > 1 else None
    if operand is None:
        return False
    if insn.id in (x86.X86_INS_MOV, x86.X86_INS_LEA):
        value = _value(path, insn, operand, stack)
        path.sp = path.sp if value is None else value
        return value is not None
    if operand.type == x86.X86_OP_IMM and insn.id in (x86.X86_INS_ADD, x86.X86_INS_SUB):
        path.sp += int(operand.imm) if insn.id == x86.X86_INS_ADD else -int(operand.imm)
        return True
    return False
