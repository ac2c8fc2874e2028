"""Unwind one ARM frame by the exception index of its program file.

The instructions are those of the Exception Handling ABI for the Arm Architecture (EHABI32), section 10.3.
They describe a function between its prologue and its epilogue.
"""

from __future__ import annotations

from triage_tui.guest.unwind.calls import is_return_address
from triage_tui.guest.unwind.model import Code, Cursor, Step
from triage_tui.guest.unwind.registers import preserved_names

MAX_BYTES = 512
_FINISH = 0xB0


class _Machine:
    """The virtual registers of section 10.2."""

    def __init__(self, code: Code, cursor: Cursor) -> None:
        self.memory = code.memory
        self.vsp = cursor.sp
        self.registers = {i: cursor.saved[f"r{i}"] for i in range(13) if f"r{i}" in cursor.saved}
        if cursor.lr is not None:
            self.registers[14] = cursor.lr

    def pop(self, numbers: list[int]) -> bool:
        vsp = self.vsp
        for number in numbers:
            value = self.memory.word(vsp)
            if value is None:
                return False
            vsp += 4
            if number == 13:
                self.vsp = value
            self.registers[number] = value
        if 13 not in numbers:
            self.vsp = vsp
        return True


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of an ARM frame, or None if the index has no entry for it or the entry misleads."""
    unwind = code.exception_code(cursor.pc if cursor.exact else cursor.pc - 1)
    if unwind is None:
        return None
    machine = _Machine(code, cursor)
    if not _run(machine, unwind[:MAX_BYTES]):
        return None
    ret = machine.registers.get(15, machine.registers.get(14))
    if ret is None or not is_return_address(code, ret):
        return None
    kept = preserved_names(code.memory.arch)
    saved = {f"r{i}": value for i, value in machine.registers.items() if f"r{i}" in kept}
    return Cursor(ret & ~1, machine.vsp, None, saved, thumb=bool(ret & 1), method="exception_index")


def _run(machine: _Machine, code: bytes) -> bool:
    """Execute unwind instructions; False for what must not be (or is not) unwound."""
    at = 0
    while at < len(code):
        op = code[at]
        second = code[at + 1] if at + 1 < len(code) else 0
        at += 1
        if op < 0x40:
            machine.vsp += ((op & 0x3F) << 2) + 4
        elif op < 0x80:
            machine.vsp -= ((op & 0x3F) << 2) + 4
        elif op < 0x90:
            at += 1
            mask = (op & 15) << 8 | second
            if not mask or not machine.pop([4 + i for i in range(12) if mask >> i & 1]):
                return False
        elif op < 0xA0:
            if op & 15 in (13, 15) or op & 15 not in machine.registers:
                return False
            machine.vsp = machine.registers[op & 15]
        elif op < 0xB0:
            if not machine.pop([*range(4, 5 + (op & 7)), *([14] if op & 8 else [])]):
                return False
        elif op == _FINISH:
            return True
        elif op == 0xB1:
            at += 1
            if not 0 < second < 16 or not machine.pop([i for i in range(4) if second >> i & 1]):
                return False
        elif op == 0xB2:
            value = shift = 0
            while at < len(code) and shift < 28:
                value |= (code[at] & 0x7F) << shift
                shift += 7
                at += 1
                if code[at - 1] < 0x80:
                    break
            machine.vsp += 0x204 + (value << 2)
        else:
            size = _floating(op, second)
            if size is None:
                return False
            at += op in (0xB3, 0xC6, 0xC7, 0xC8, 0xC9)
            machine.vsp += size
    return True


def _floating(op: int, second: int) -> int | None:
    """Return the bytes that a pop of coprocessor registers takes, or None for a reserved instruction."""
    if op == 0xB3:
        return 8 * ((second & 15) + 1) + 4
    if op >= 0xB8 and op < 0xC0:
        return 8 * ((op & 7) + 1) + 4
    if op in (0xC6, 0xC8, 0xC9):
        return 8 * ((second & 15) + 1)
    if op == 0xC7:
        return 4 * (second & 15).bit_count()
    if 0xC0 <= op < 0xC6 or 0xD0 <= op < 0xD8:
        return 8 * ((op & 7) + 1)
    return None
