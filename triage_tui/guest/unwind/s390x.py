"""Read the prologue of an s390x function.

A function stores the registers that it changes, up to its stack pointer, into the area that its caller keeps
for it: `stmg %rN,%r15,8*N(%r15)`; then it takes its own frame: `aghi`, `agfi` or `lay` of %r15 (ELF
Application Binary Interface s390x Supplement, "Stack Frame Layout"). The encodings are those of the
z/Architecture Principles of Operation. Code built with a back chain has the caller's stack pointer at the
frame's lowest word.
"""

from __future__ import annotations

from triage_tui.guest.unwind import linked
from triage_tui.guest.unwind.calls import call_target, is_return_address
from triage_tui.guest.unwind.linked import Layout
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Step

_BR_R14 = b"\x07\xfe"
_LGR_R11_R15 = b"\xb9\x04\x00\xbf"
_NEAR = 48
"""Bytes within which a prologue takes its frame in several steps."""
_LINK_SLOT = 8 * 14


def _stored(data: bytes) -> range:
    """Return the numbers of the registers that `stmg` or `stg` puts into their slots."""
    if len(data) < 6 or data[5] != 0x24 or data[0] not in (0xEB, 0xE3) or data[4]:
        return range(0)
    first = data[1] >> 4
    offset = (data[2] & 15) << 8 | data[3]
    if data[2] >> 4 != 15 or offset != 8 * first or first < 6 or (data[0] == 0xE3 and data[1] & 15):
        return range(0)
    return range(first, (data[1] & 15) + 1) if data[0] == 0xEB else range(first, first + 1)


def _restores(data: bytes) -> bool:
    """Say whether an instruction is a `lmg` that gives %r15 back."""
    return len(data) == 6 and data[0] == 0xEB and data[1] & 15 == 15 and data[5] == 0x04


def _taken(data: bytes) -> int:
    """Return the bytes that an instruction takes from the stack; less than 0 if it gives some back."""
    value = 0
    if data[:2] == b"\xa7\xfb":
        value = int.from_bytes(data[2:4], "big", signed=True)
    elif data[:2] == b"\xc2\xf8":
        value = int.from_bytes(data[2:6], "big", signed=True)
    elif data[:2] == b"\xe3\xf0" and data[2] >> 4 == 15 and data[5] == 0x71:
        value = (data[4] - (data[4] >> 7 << 8)) << 12 | (data[2] & 15) << 8 | data[3]
    return -value


def _prologue(code: Code, pc: int, lowest: int) -> int | None:
    """Return the nearest instruction before `pc` that saves the return address, or None."""
    mapping = code.memory.mapping(pc)
    lowest = max(lowest, mapping.start if mapping else pc)
    data = code.memory.read(lowest, pc - lowest)
    end = len(data)
    while True:
        end = max(data.rfind(b"\x00\x24", 0, end), -1)
        if end < 4:
            return None
        start = end - 4
        if not start & 1 and 14 in _stored(data[start : start + 6]):
            return lowest + start
        end += 1


def read_layout(code: Code, pc: int, has_called: bool) -> Layout | None:
    """Return the stack layout of the function that holds `pc`, or None if it saves no return address."""
    known = code.function_start(pc)
    lowest = max(0, pc - MAX_FUNCTION if known is None else known) + 1 & ~1
    start = _prologue(code, pc, lowest)
    return None if start is None else _layout(code, start, pc)


def _layout(code: Code, start: int, pc: int) -> Layout:
    result = Layout(start)
    data = code.memory.read(start, pc - start)
    at, first = 0, -1
    while at < len(data):
        size = (2, 4, 4, 6)[data[at] >> 6]
        insn = data[at : at + size]
        taken = _taken(insn) if len(insn) == size else 0
        if taken > 0 and (first < 0 or at - first < _NEAR):
            first = at if first < 0 else first
            result.depth += taken
        elif not result.depth:
            for number in _stored(insn):
                result.slots.setdefault(f"r{number}", -8 * number)
        elif insn == _LGR_R11_R15 and result.frame_pointer is None and "r11" in result.slots:
            result.frame_pointer = ("r11", result.depth)
        at += size
        if insn == _BR_R14:
            result.returned = True
        elif at == len(data) and (_restores(insn) or taken < 0):
            # Between the two last instructions of the function.
            return Layout(start, returned=True)
    result.slots.pop("r15", None)
    return result


def find_start(code: Code, addr: int, has_called: bool = False) -> int | None:
    """Return the start of the prologue nearest before `addr`, or None."""
    found = read_layout(code, addr, has_called)
    return found.start if found else None


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of `cursor`, or None if neither prologue nor back chain show it."""
    if cursor.exact and cursor.lr is not None and is_return_address(code, cursor.lr):
        start = _leaf_start(code, cursor.pc, cursor.lr)
        if start is not None:
            depth = _layout(code, start, cursor.pc).depth
            return Cursor(cursor.lr, cursor.sp + depth, None, cursor.saved, method="link_register")
    return linked.step(code, cursor, read_layout, "r14", 2) or _chained(code, cursor)


def _leaf_start(code: Code, pc: int, link: int) -> int | None:
    """Return where the function at `pc` starts if it saves no return address before `pc`, else None.

    It may take a frame all the same.
    """
    start = code.function_start(pc)
    if start is None:
        called = call_target(code, link)
        if called is not None and pc - MAX_FUNCTION // 8 < called <= pc:
            start = called
    if start is None or _prologue(code, pc, start) is not None or pc == link:
        return None
    return start


def _chained(code: Code, cursor: Cursor) -> Cursor | None:
    """Return the caller by the back chain, where there is one."""
    up = code.memory.word(cursor.sp)
    if up is None or up <= cursor.sp or up & 7:
        return None
    ret = code.memory.word(up + _LINK_SLOT)
    if ret is None or not is_return_address(code, ret):
        return None
    return Cursor(ret, up, None, cursor.saved, method="back_chain")
