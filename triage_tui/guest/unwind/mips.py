"""Read the prologue of a MIPS function, o32 or n64.

GCC's prologue is `addiu sp,sp,-N` (n64: daddiu), then `sw ra,M(sp)` (sd) somewhere, and `move s8,sp` where
the function moves sp later (MIPS psABI, "Function calling sequence"). Return addresses lie behind the delay
slot.
"""

from __future__ import annotations

from triage_tui.guest.unwind import linked
from triage_tui.guest.unwind.linked import Layout
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Step

_JR_RA = 0x03E00008
_MOVE_S8_SP = (0x03A0F025, 0x03A0F021, 0x03A0F02D)
"""or, addu and daddu with $zero."""
_ADD_SP = (0x27BD, 0x67BD)
"""addiu and daddiu sp,sp,n."""
_SUB_SP = (0x03A0E823, 0x03A0E82F)
"""subu and dsubu sp,sp,rt."""
_SAVED = {31: "ra", 30: "s8", 28: "gp"} | {16 + i: f"s{i}" for i in range(8)}


def _frame_size(code: Code, addr: int) -> int | None:
    """Return the bytes that the instruction at `addr` takes from the stack, or None if it takes none."""
    insn = code.memory.instruction(addr)
    if insn is None:
        return None
    if insn >> 16 in _ADD_SP and insn & 0x8000:
        return 0x10000 - (insn & 0xFFFF)
    if insn & 0xFFE0FFFF not in _SUB_SP:
        return None
    # The size of a large frame is built in rt just before.
    register, size = insn >> 16 & 31, 0
    for back in range(1, 9):
        word = code.memory.instruction(addr - 4 * back)
        if word is None or word >> 16 & 31 != register:
            continue
        if word >> 26 == 0x0D and word >> 21 & 31 in (0, register):
            size |= word & 0xFFFF
        if word >> 26 in (0x09, 0x19) and word >> 21 & 31 == register:
            size += (word & 0xFFFF) - ((word & 0x8000) << 1)
        if word >> 26 in (0x0D, 0x09, 0x19) and word >> 21 & 31 == 0:
            return word & 0xFFFF
        if word >> 26 == 0x0F:
            return size + ((word & 0xFFFF) << 16)
    return None


def _builds_frame(code: Code, addr: int) -> int | None:
    """Return the bytes that `lui rt; addiu rt; addu sp,sp,rt` takes (clang's form of a large frame)."""
    insn = code.memory.instruction(addr)
    if insn is None or insn & 0xFFE0FFFF not in (0x03A0E821, 0x03A0E82D):
        return None
    register, value = insn >> 16 & 31, 0
    for back in range(1, 5):
        word = code.memory.instruction(addr - 4 * back) or 0
        if word >> 16 & 31 != register:
            continue
        if word >> 26 in (0x09, 0x19) and word >> 21 & 31 == register:
            value += (word & 0xFFFF) - ((word & 0x8000) << 1)
        elif word >> 26 == 0x0D and word >> 21 & 31 == register:
            value += word & 0xFFFF
        elif word >> 26 in (0x09, 0x19) and word >> 21 & 31 == 0:
            value += (word & 0xFFFF) - ((word & 0x8000) << 1)
            return -value if value < 0 else None
        elif word >> 26 == 0x0F:
            high = (word & 0xFFFF) << 16
            value += high - (1 << 32) if high >> 31 else high
            return -value if value < 0 else None
    return None


def _allocated(code: Code, addr: int) -> int | None:
    return _frame_size(code, addr) or _builds_frame(code, addr)


def read_layout(code: Code, pc: int, has_called: bool) -> Layout | None:
    """Return the stack layout of the function that holds `pc`, or None if no allocation is found."""
    known = code.function_start(pc)
    lowest = max(0, pc - MAX_FUNCTION if known is None else known)
    addr = linked.prologue_before(code, pc, lowest, 4, _allocated, _layout, "ra", has_called)
    if addr is None:
        return None
    # A frame may be allocated in two steps (beyond 32 KiB); the second one stands close to the first.
    for earlier in range(addr - 4, max(lowest, addr - 64) - 1, -4):
        insn = code.memory.instruction(earlier) or 0
        if insn >> 16 in _ADD_SP and insn & 0x8000:
            addr = earlier
            break
        # No prologue holds a jump or branch; a bal ends a function that never returns.
        if 1 <= insn >> 26 <= 7 or insn & 0xFC00003E == 8:
            break
    return _layout(code, addr, pc)


def _layout(code: Code, start: int, pc: int) -> Layout:
    result = Layout(start)
    for addr in range(start, pc, 4):
        insn = code.memory.instruction(addr) or 0
        if result.frame_pointer is None:
            result.depth += _allocated(code, addr) or 0
        # sw and sd of a register relative to sp.
        name = _SAVED.get(insn >> 16 & 31) if insn >> 21 in (0x57D, 0x7FD) else None
        if name is not None:
            offset = insn & 0xFFFF
            if offset < 0x8000 and result.depth - offset > 0:
                result.slots.setdefault(name, result.depth - offset)
        elif insn in _MOVE_S8_SP:
            result.frame_pointer = ("s8", result.depth)
        elif insn == _JR_RA:
            result.returned = True
    return result


def find_start(code: Code, addr: int, has_called: bool = False) -> int | None:
    """Return the start of the prologue nearest before `addr`, or None."""
    found = read_layout(code, addr, has_called)
    return found.start if found else None


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of `cursor`, or None if the prologue cannot be read."""
    return linked.step(code, cursor, read_layout, "ra", 8)
