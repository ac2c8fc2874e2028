"""Read the prologue of a RISC-V function, compressed instructions included.

Encodings: RISC-V unprivileged ISA, chapters "RV64I" and "C extension". GCC and clang begin with
`addi sp,sp,-N`, then `sd ra,M(sp)`, and with a frame pointer `addi s0,sp,N`.
"""

from __future__ import annotations

from triage_tui.guest.unwind import linked
from triage_tui.guest.unwind.linked import Layout
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Step

_SAVED = {1: "ra", 8: "s0", 9: "s1", 3: "gp", 4: "tp"} | {16 + i: f"s{i}" for i in range(2, 12)}
_RETURNS = (0x8082, 0x8067)
"""c.jr ra and the low half of jalr zero,0(ra)."""


def _size(half: int) -> int:
    return 4 if half & 3 == 3 else 2


def _allocation(code: Code, addr: int) -> int:
    """Return the bytes that the instruction at `addr` takes from the stack; 0 if it takes none."""
    half = code.memory.halfword(addr) or 0
    if half & 3 == 3:
        insn = code.memory.instruction(addr) or 0
        if insn & 0xFFFFF == 0x10113 and insn >> 31:
            return 0x1000 - (insn >> 20)
        return 0
    if half & 0xEF83 == 0x0101 and half & 0x1000:
        # c.addi sp,-n
        return 32 - (half >> 2 & 31)
    if half & 0xEF83 == 0x6101 and half & 0x1000:
        # c.addi16sp: nzimm[9|4|6|8:7|5]
        value = (half >> 6 & 1) << 4 | (half >> 5 & 1) << 6 | (half >> 3 & 3) << 7 | (half >> 2 & 1) << 5
        return 512 - value
    return 0


def _large(code: Code, addr: int) -> int:
    """Return the bytes that `lui t; addi(w) t; add/sub sp,sp,t` takes from the stack; 0 if it is not that."""
    half = code.memory.halfword(addr) or 0
    insn = code.memory.instruction(addr) or 0
    if half & 3 == 3 and insn & 0xFE0FFFFF in (0x00010133, 0x40010133):
        register, sign = insn >> 20 & 31, (1 if insn >> 30 & 1 else -1)
    elif half & 0xFF83 == 0x9102:
        register, sign = half >> 2 & 31, -1
    else:
        return 0
    value = 0
    at = addr
    for _ in range(4):
        word, short = code.memory.instruction(at - 4) or 0, code.memory.halfword(at - 2) or 0
        if word & 0x7F in (0x13, 0x1B) and word >> 7 & 31 == register and word >> 15 & 31 == register:
            value += (word >> 20) - ((word >> 31) << 12)
            at -= 4
        elif word & 0x7F == 0x37 and word >> 7 & 31 == register:
            value += (word & 0xFFFFF000) - ((word >> 31) << 32)
            return max(0, sign * value)
        elif short & 0xE003 == 0x2001 and short >> 7 & 31 == register:
            # c.addiw
            value += (short >> 2 & 31) - ((short >> 12 & 1) << 5)
            at -= 2
        elif short & 0xE003 == 0x6001 and short >> 7 & 31 == register:
            # c.lui
            value += ((short >> 2 & 31) << 12) - ((short >> 12 & 1) << 17)
            return max(0, sign * value)
        else:
            at -= 2
    return 0


def read_layout(code: Code, pc: int, has_called: bool) -> Layout | None:
    """Return the stack layout of the function that holds `pc`, or None if no allocation is found."""
    known = code.function_start(pc)
    if known is not None and pc - known < MAX_FUNCTION:
        found = _layout(code, known, pc)
        return found if found.depth else None
    lowest = max(0, pc - MAX_FUNCTION)
    start = linked.prologue_before(code, pc, lowest, 2, _allocation, _layout, "ra", has_called)
    return None if start is None else _layout(code, start, pc)


def _layout(code: Code, start: int, pc: int) -> Layout:
    result = Layout(start)
    addr = start
    while addr < pc:
        half = code.memory.halfword(addr)
        if half is None:
            break
        if result.frame_pointer is None or result.frame_pointer[0] != "s0":
            result.depth += _allocation(code, addr) or _large(code, addr)
        _save(code, addr, half, result)
        if half in _RETURNS and (half & 3 != 3 or code.memory.instruction(addr) == 0x8067):
            result.returned = True
        addr += _size(half)
    return result


def _point(result: Layout, offset: int) -> None:
    """Note that s0 becomes sp + `offset`: a frame pointer where that is the sp at entry (psABI)."""
    if offset == result.depth and "s0" in result.slots:
        result.frame_pointer = result.frame_pointer or ("s0", 0)


def _save(code: Code, addr: int, half: int, result: Layout) -> None:
    """Note what the instruction at `addr` saves, or that it sets the frame pointer."""
    number = offset = -1
    if half & 3 == 3:
        insn = code.memory.instruction(addr) or 0
        if insn & 0xFF07F == 0x13023:
            # sd rs2, n(sp)
            number, offset = insn >> 20 & 31, (insn >> 25) << 5 | insn >> 7 & 31
            offset = -1 if offset >= 0x800 else offset
        elif insn & 0xFFFFF == 0x10413:
            # addi s0, sp, n
            offset = insn >> 20
            _point(result, offset)
            offset = -1
    elif half & 0xE003 == 0xE002:
        # c.sdsp: uimm[5:3|8:6]
        number, offset = half >> 2 & 31, (half >> 10 & 7) << 3 | (half >> 7 & 7) << 6
    elif half & 0xE01F == 0 and half:
        # c.addi4spn s0: nzuimm[5:4|9:6|2|3]
        value = (half >> 11 & 3) << 4 | (half >> 7 & 15) << 6 | (half >> 6 & 1) << 2 | (half >> 5 & 1) << 3
        _point(result, value)
    name = _SAVED.get(number)
    if name is not None and offset >= 0 and result.depth - offset > 0:
        result.slots.setdefault(name, result.depth - offset)


def find_start(code: Code, addr: int, has_called: bool = False) -> int | None:
    """Return the start of the prologue nearest before `addr`, or None."""
    found = read_layout(code, addr, has_called)
    return found.start if found else None


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of `cursor`, or None if the prologue cannot be read."""
    return linked.step(code, cursor, read_layout, "ra", 2)
