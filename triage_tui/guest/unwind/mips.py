"""Unwind one MIPS o32 frame by reading its prologue.

GCC's o32 prologue is `addiu sp,sp,-N`, then `sw ra,M(sp)` somewhere, and `move s8,sp` where the function
moves sp later (MIPS psABI, "Function calling sequence"). Return addresses lie behind the delay slot.
"""

from __future__ import annotations

from triage_tui.guest.unwind.calls import call_target, is_return_address
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor

_JR_RA = 0x03E00008


def _frame_size(code: Code, addr: int) -> int | None:
    """Return the bytes that the instruction at `addr` takes from the stack, or None if it takes none."""
    insn = code.memory.instruction(addr)
    if insn is None:
        return None
    if insn >> 16 == 0x27BD and insn & 0x8000:
        return 0x10000 - (insn & 0xFFFF)
    if insn & 0xFFE0FFFF != 0x03A0E823:
        return None
    # subu sp,sp,rt: the size of a large frame is built in rt just before.
    register, size = insn >> 16 & 31, 0
    for back in range(1, 9):
        word = code.memory.instruction(addr - 4 * back)
        if word is None or word >> 16 & 31 != register:
            continue
        if word >> 26 == 0x0D and word >> 21 & 31 in (0, register):
            size |= word & 0xFFFF
        if word >> 26 in (0x0D, 0x09) and word >> 21 & 31 == 0:
            return word & 0xFFFF
        if word >> 26 == 0x0F:
            return size | (word & 0xFFFF) << 16
    return None


def _prologue(code: Code, pc: int, start: int | None) -> tuple[int, int] | None:
    """Return (address, bytes) of the stack allocation that belongs to `pc`, or None."""
    lowest = pc - MAX_FUNCTION if start is None else start
    addr = pc - 4
    while addr >= max(lowest, 0):
        if code.memory.instruction(addr) is None:
            return None
        size = _frame_size(code, addr)
        if size:
            return addr, size
        addr -= 4
    return None


def step(code: Code, cursor: Cursor) -> Cursor | None:
    """Return the caller of `cursor`, or None if the prologue cannot be read."""
    innermost = cursor.lr is not None
    # The call itself, not what follows it, belongs to the function for sure.
    pc = cursor.pc if innermost else cursor.pc - 8
    found = _prologue(code, pc, code.function_start(pc))
    slot: int | None = None
    base = cursor.sp
    saved = dict(cursor.saved)
    if found is not None:
        start = found[0]
        ra_at = fp_at = None
        uses_fp = False
        for addr in range(start + 4, pc, 4):
            insn = code.memory.instruction(addr) or 0
            if insn >> 16 == 0xAFBF and ra_at is None:
                ra_at = insn & 0xFFFF
            elif insn >> 16 == 0xAFBE and fp_at is None:
                fp_at = insn & 0xFFFF
            elif insn in (0x03A0F025, 0x03A0F021):
                uses_fp = True
        base = saved["s8"] if uses_fp and "s8" in saved else cursor.sp
        if ra_at is not None:
            slot = code.memory.word(base + ra_at)
            if fp_at is not None:
                saved["s8"] = code.memory.word(base + fp_at) or 0
    if cursor.lr is not None and _is_leaf(code, pc, cursor.lr, slot, found):
        own = _own_allocation(code, pc, found)
        return Cursor(cursor.lr, cursor.sp + own, None, cursor.saved, method="link_register")
    if found is None or slot is None or not is_return_address(code, slot):
        return None
    return Cursor(slot, base + found[1], None, saved, method="prologue")


def _is_leaf(code: Code, pc: int, ra: int, slot: int | None, found: tuple[int, int] | None) -> bool:
    """Decide for the innermost frame whether ra still holds its return address."""
    if not is_return_address(code, ra):
        return False
    if found is None or slot is None or not is_return_address(code, slot):
        return True
    if ra == slot:
        return False
    target = call_target(code, ra)
    if target is not None and found[0] < target <= pc:
        return True
    # A function that has a frame and called something has ra pointing into itself.
    return not found[0] <= ra <= pc + MAX_FUNCTION // 4


def _own_allocation(code: Code, pc: int, found: tuple[int, int] | None) -> int:
    """Return the bytes that a leaf function took from the stack.

    An allocation behind a return belongs to another function.
    """
    if found is None:
        return 0
    for addr in range(found[0], pc, 4):
        if code.memory.instruction(addr) == _JR_RA:
            return 0
    return found[1]
