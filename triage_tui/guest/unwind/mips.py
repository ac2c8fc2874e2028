"""Unwind one MIPS o32 frame by reading its prologue.

GCC's o32 prologue is `addiu sp,sp,-N`, then `sw ra,M(sp)` somewhere, and `move s8,sp` where the function
moves sp later (MIPS psABI, "Function calling sequence"). Return addresses lie behind the delay slot.
"""

from __future__ import annotations

from dataclasses import dataclass

from triage_tui.guest.unwind.calls import call_target, is_return_address
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor

_JR_RA = 0x03E00008
_MOVE_S8_SP = (0x03A0F025, 0x03A0F021)
"""or and addu with $zero."""


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


@dataclass(slots=True)
class _Layout:
    """The stack of a function behind its prologue, relative to sp at its entry."""

    start: int
    """Address of the first allocation."""
    depth: int = 0
    """Bytes taken since entry."""
    ra: int | None = None
    """Bytes below the entry sp at which ra is saved."""
    s8: int | None = None
    """Bytes below the entry sp at which the caller's s8 is saved."""
    frame_pointer: int | None = None
    """Bytes below the entry sp to which s8 points."""
    returned: bool = False
    """True if a return stands between the start and the point of interest."""


def _prologue(code: Code, pc: int) -> _Layout | None:
    """Return the stack layout of the function that holds `pc`, or None if no allocation is found."""
    known = code.function_start(pc)
    lowest = max(0, pc - MAX_FUNCTION if known is None else known)
    addr = pc - 4
    while addr >= lowest and not _frame_size(code, addr):
        if code.memory.instruction(addr) is None:
            return None
        addr -= 4
    if addr < lowest:
        return None
    if (code.memory.instruction(addr) or 0) >> 16 != 0x27BD:
        # A frame beyond 32 KiB is allocated in two steps; the second one stands close to the first.
        for earlier in range(addr - 4, max(lowest, addr - 64) - 1, -4):
            if (code.memory.instruction(earlier) or 0) >> 16 == 0x27BD:
                addr = earlier
                break
    return _layout(code, addr, pc)


def _layout(code: Code, start: int, pc: int) -> _Layout:
    result = _Layout(start)
    for addr in range(start, pc, 4):
        insn = code.memory.instruction(addr) or 0
        if result.frame_pointer is None:
            result.depth += _frame_size(code, addr) or 0
        if insn >> 16 == 0xAFBF and result.ra is None:
            result.ra = result.depth - (insn & 0xFFFF)
        elif insn >> 16 == 0xAFBE and result.s8 is None:
            result.s8 = result.depth - (insn & 0xFFFF)
        elif insn in _MOVE_S8_SP:
            result.frame_pointer = result.depth
        elif insn == _JR_RA:
            result.returned = True
    return result


def find_start(code: Code, addr: int) -> int | None:
    """Return the start of the prologue nearest before `addr`, or None."""
    found = _prologue(code, addr)
    return found.start if found else None


def step(code: Code, cursor: Cursor) -> Cursor | None:
    """Return the caller of `cursor`, or None if the prologue cannot be read."""
    # The call itself, not what follows it, belongs to the function for sure.
    pc = cursor.pc if cursor.lr is not None else cursor.pc - 8
    frame = _prologue(code, pc)
    entry_sp, slot = cursor.sp, None
    saved = dict(cursor.saved)
    if frame is not None:
        entry_sp += frame.depth
        if frame.frame_pointer is not None and "s8" in saved:
            entry_sp = saved["s8"] + frame.frame_pointer
        if frame.ra is not None:
            slot = code.memory.word(entry_sp - frame.ra)
        if frame.s8 is not None:
            saved["s8"] = code.memory.word(entry_sp - frame.s8) or 0
    if cursor.lr is not None and _is_leaf(code, pc, cursor.lr, slot, frame):
        # An allocation behind a return belongs to another function.
        if frame is None or frame.returned:
            return Cursor(cursor.lr, cursor.sp, None, cursor.saved, method="link_register")
        return Cursor(cursor.lr, entry_sp, None, saved, method="link_register")
    if slot is None or not is_return_address(code, slot):
        return None
    return Cursor(slot, entry_sp, None, saved, method="prologue")


def _is_leaf(code: Code, pc: int, ra: int, slot: int | None, frame: _Layout | None) -> bool:
    """Decide for the innermost frame whether ra still holds its return address."""
    if not is_return_address(code, ra):
        return False
    if frame is None or slot is None or not is_return_address(code, slot):
        return True
    if ra == slot:
        return False
    target = call_target(code, ra)
    if target is not None and frame.start < target <= pc:
        return True
    # A function that has a frame and called something has ra pointing into itself.
    return not frame.start <= ra <= pc + MAX_FUNCTION // 4
