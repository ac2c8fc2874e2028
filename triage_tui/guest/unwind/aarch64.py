"""Unwind one AArch64 frame: frame records first, the prologue where there are none.

A frame record is the pair (caller's x29, return address) to which x29 points (AAPCS64, "The Frame Pointer").
"""

from __future__ import annotations

from triage_tui.guest.unwind.calls import call_target, is_return_address
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Step

_ADDRESS = (1 << 48) - 1
"""Return addresses may carry an authentication code above the address bits."""


def _seven(value: int) -> int:
    return (value - 128 if value & 64 else value) * 8


def _allocation(insn: int) -> tuple[int, int | None]:
    """Return (bytes taken from the stack, offset of x30 from the new sp or None) of one instruction."""
    if insn & 0xFFC003E0 == 0xA98003E0:
        # stp xa, xb, [sp, #-n]!
        size = -_seven(insn >> 15 & 0x7F)
        offset = 8 if insn >> 10 & 31 == 30 else 0 if insn & 31 == 30 else None
        return max(size, 0), offset
    if insn & 0xFFE00FE0 == 0xF8000FE0:
        # str xa, [sp, #-n]!
        immediate = insn >> 12 & 0x1FF
        size = 512 - immediate if immediate & 0x100 else 0
        return size, 0 if insn & 31 == 30 else None
    if insn & 0xFF8003FF == 0xD10003FF:
        # sub sp, sp, #n{, lsl #12}
        return (insn >> 10 & 0xFFF) << (12 if insn >> 22 & 1 else 0), None
    return 0, None


def _store(insn: int) -> int | None:
    """Return the offset from sp at which the instruction stores x30, or None."""
    if insn & 0xFFC003E0 == 0xA90003E0:
        offset = _seven(insn >> 15 & 0x7F)
        return offset + 8 if insn >> 10 & 31 == 30 else offset if insn & 31 == 30 else None
    if insn & 0xFFC003FF == 0xF90003FE:
        return (insn >> 10 & 0xFFF) * 8
    return None


def _branches(insn: int) -> bool:
    """Say whether the instruction is a branch of any kind (A64, "Branches")."""
    return insn >> 26 & 0x1F == 0x05 or insn >> 25 == 0x6B or insn >> 24 in (0x54, 0x34, 0x35, 0xB4, 0xB5)


def _prologue(code: Code, pc: int) -> tuple[int, int, int | None] | None:
    """Return (start, bytes allocated, offset of the saved x30 from sp or None) of the function at `pc`."""
    start = code.function_start(pc)
    lowest = max(0, pc - MAX_FUNCTION if start is None else start)
    addr = pc - 4
    first: int | None = None
    while addr >= lowest:
        insn = code.memory.instruction(addr)
        if insn is None:
            break
        if _allocation(insn)[0]:
            first = addr
            # A prologue may allocate in several steps; they stand close together, with no branch between.
            for earlier in range(addr - 4, max(lowest, addr - 24) - 1, -4):
                before = code.memory.instruction(earlier)
                if before is None or _branches(before):
                    break
                if _allocation(before)[0]:
                    first = earlier
            break
        addr -= 4
    if first is None:
        return None
    depth, saved_at = 0, None
    for addr in range(first, min(pc, first + 160), 4):
        insn = code.memory.instruction(addr) or 0
        size, pair = _allocation(insn)
        depth += size
        if saved_at is None:
            offset = pair if size else _store(insn)
            saved_at = depth - offset if offset is not None else None
    return first, depth, None if saved_at is None else depth - saved_at


def _record(code: Code, fp: int) -> tuple[int, int] | None:
    """Return (caller's x29, return address) of the frame record at `fp` if it is a plausible one."""
    if fp & 7 or not fp:
        return None
    previous, ret = code.memory.word(fp), code.memory.word(fp + 8)
    if previous is None or ret is None:
        return None
    return previous, ret & _ADDRESS


def find_start(code: Code, addr: int) -> int | None:
    """Return the start of the prologue nearest before `addr`, or None."""
    found = _prologue(code, addr)
    return found[0] if found else None


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of `cursor`, or None if neither frame record nor prologue can be read."""
    pc = cursor.pc if cursor.exact else cursor.pc - 4
    fp = cursor.saved.get("x29", 0)
    prologue = _prologue(code, pc)
    if cursor.lr is not None:
        lr = cursor.lr & _ADDRESS
        if _is_leaf(code, pc, cursor.sp, lr, prologue):
            own = prologue[1] if prologue and not _returns_between(code, prologue[0], pc) else 0
            return Cursor(lr, cursor.sp + own, None, cursor.saved, method="link_register")
    record = _record(code, fp) if fp >= cursor.sp else None
    if record is not None and not is_return_address(code, record[1]):
        record = None
    if prologue is not None and prologue[2] is not None:
        slot = cursor.sp + prologue[2]
        ret = (code.memory.word(slot) or 0) & _ADDRESS
        # A slot below the frame record: the function saved x30 but made no record, x29 is its caller's.
        if is_return_address(code, ret) and (record is None or slot < fp):
            return Cursor(ret, cursor.sp + prologue[1], None, cursor.saved, method="prologue")
    if record is None:
        return None
    # The record lies inside the frame; without a prologue its end is a lower bound of the caller's sp.
    sp = fp + 16
    if prologue is not None and prologue[2] is not None:
        sp = max(sp, fp + 8 - prologue[2] + prologue[1])
    return Cursor(record[1], sp, None, cursor.saved | {"x29": record[0]}, method="frame_pointer")


def _returns_between(code: Code, start: int, pc: int) -> bool:
    return any(code.memory.instruction(addr) == 0xD65F03C0 for addr in range(start, pc, 4))


def _is_leaf(code: Code, pc: int, sp: int, lr: int, prologue: tuple[int, int, int | None] | None) -> bool:
    """Decide for the innermost frame whether x30 still holds its return address and no record was made."""
    if not is_return_address(code, lr):
        return False
    if prologue is None or prologue[2] is None:
        return True
    slot = (code.memory.word(sp + prologue[2]) or 0) & _ADDRESS
    if lr == slot:
        return False
    target = call_target(code, lr)
    if target is not None and prologue[0] < target <= pc:
        return True
    return not prologue[0] <= lr <= pc + MAX_FUNCTION // 4
