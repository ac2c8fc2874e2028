"""Unwind one PowerPC frame along the back chain.

The word at r1 points to the caller's frame; the return address is saved above the caller's back chain (System
V ABI, PowerPC supplement, "The Stack Frame": LR save word at 4; 64-bit ELF ABI: at 16).
"""

from __future__ import annotations

from triage_tui.guest.unwind.calls import call_target, is_return_address
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Step

_BLR = 0x4E800020
_MFLR_R0 = 0x7C0802A6
_READ_PC = 0x429F0005
"""bcl 20,31,$+4"""
_MAX_CALLER = 4096
"""Bytes of a function in which a call is looked for."""


def _prologue(code: Code, pc: int) -> tuple[int, bool, bool, dict[int, int]] | None:
    """Return (start, frame made, lr saved, register -> offset from r1) of the function at `pc`, or None."""
    known = code.function_start(pc)
    lowest = max(0, pc - MAX_FUNCTION if known is None else known)
    start = known
    if start is None:
        for addr in range(pc - 4, lowest - 1, -4):
            insn = code.memory.instruction(addr)
            if insn is None or insn == _BLR:
                break
            if insn >> 16 in (0x9421, 0xF821) or insn == _MFLR_R0:
                start = addr
    if start is None:
        return None
    framed = saved = False
    slots: dict[int, int] = {}
    for addr in range(start, min(pc, start + 400), 4):
        insn = code.memory.instruction(addr) or 0
        if insn >> 16 in (0x9421, 0xF821) or insn & 0xFFFF07FF in (0x7C21016E, 0x7C21016A):
            # stwu, stdu, stwux and stdux of r1.
            framed = True
        elif insn >> 16 in (0x9001, 0xF801):
            saved = True
        elif insn >> 26 == 36 and insn >> 16 & 31 == 1 and insn >> 21 & 31 >= 14 and not insn & 0x8000:
            slots.setdefault(insn >> 21 & 31, insn & 0x7FFF)
    return start, framed, saved, slots


def find_start(code: Code, addr: int) -> int | None:
    """Return the start of the prologue nearest before `addr`, or None."""
    found = _prologue(code, addr)
    return found[0] if found else None


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of `cursor`, or None if the chain is broken here."""
    memory = code.memory
    pc = cursor.pc if cursor.exact else cursor.pc - 4
    prologue = _prologue(code, pc)
    framed = prologue is None or prologue[1]
    up = memory.word(cursor.sp)
    if cursor.exact and cursor.lr is not None and memory.instruction(cursor.lr - 4) == _READ_PC:
        found = _behind_pc_read(code, cursor, prologue, up if framed else cursor.sp)
        if found is not None:
            return found
    if cursor.exact and cursor.lr is not None and is_return_address(code, cursor.lr):
        if prologue is None or prologue[2]:
            # Several returns hide the prologue, and ways lead around it: what was saved decides.
            framed = _is_kept(code, cursor, up) or not _leads_here(code, cursor)
        if not framed or (prologue is None and not _chained(code, up)):
            return Cursor(cursor.lr, cursor.sp, None, cursor.saved, method="link_register")
        if prologue is not None and not prologue[2] and up is not None and up > cursor.sp:
            return Cursor(cursor.lr, up, None, _saved(code, cursor, prologue[3]), method="link_register")
    if up is None or up <= cursor.sp or up & 3:
        return None
    ret = _link(code, up)
    if ret is None or not is_return_address(code, ret):
        return None
    saved = _saved(code, cursor, prologue[3]) if prologue else cursor.saved
    return Cursor(ret, up, None, saved, method="back_chain")


def _behind_pc_read(
    code: Code, cursor: Cursor, prologue: tuple[int, bool, bool, dict[int, int]] | None, up: int | None
) -> Cursor | None:
    """Return the caller of a function that has put its own address into the link register.

    Position-independent code does that. The return address is in the register to which it was moved before,
    until it is stored; a function that never returns may not have kept it. `up` is the caller's r1.
    """
    if prologue is None or up is None or up < cursor.sp:
        return None
    start, _, stored, slots = prologue
    end = (cursor.lr or 0) - 4
    for addr in range(start, end, 4):
        insn = code.memory.instruction(addr) or 0
        if insn & 0xFC1FFFFF == 0x7C0802A6:
            value = cursor.saved.get(f"r{insn >> 21 & 31}")
            if stored or value is None or not is_return_address(code, value):
                return None
            return Cursor(value, up, None, _saved(code, cursor, slots), method="link_register")
    return _only_call(code, cursor, start, up, _saved(code, cursor, slots))


def _only_call(code: Code, cursor: Cursor, start: int, up: int, saved: dict[str, int]) -> Cursor | None:
    """Return the caller of a lost return address, whose frame is at `up`: the one call that leads to `start`.

    The caller's own return address says which function it is.
    """
    above = code.memory.word(up)
    ret = None if above is None or above <= up else _link(code, above)
    caller = call_target(code, ret) if ret is not None and is_return_address(code, ret) else None
    if ret is None or caller is None:
        return None
    sites = [
        addr
        for addr in range(caller + 4, caller + _MAX_CALLER, 4)
        if call_target(code, addr) == start and code.function_start(addr - 4) in (None, caller)
    ]
    return Cursor(sites[0], up, None, saved, method="back_chain") if len(sites) == 1 else None


def _link(code: Code, frame: int) -> int | None:
    """Return the word in which the callee of the frame at `frame` saves its return address."""
    return code.memory.word(frame + (4 if code.memory.arch.word == 4 else 16))


def _leads_here(code: Code, cursor: Cursor) -> bool:
    """Say whether the call in front of the link register most likely entered the function at the pc."""
    target = call_target(code, cursor.lr or 0)
    return target is not None and cursor.pc - MAX_FUNCTION // 8 < target <= cursor.pc


def _is_kept(code: Code, cursor: Cursor, up: int | None) -> bool:
    """Say whether the link register's value was saved where a frame at sp keeps it."""
    return up is not None and _link(code, up) == cursor.lr


def _chained(code: Code, up: int | None) -> bool:
    ret = None if up is None else _link(code, up)
    return ret is not None and is_return_address(code, ret)


def _saved(code: Code, cursor: Cursor, slots: dict[int, int]) -> dict[str, int]:
    saved = dict(cursor.saved)
    for number, offset in slots.items():
        value = code.memory.word(cursor.sp + offset)
        if value is not None:
            saved[f"r{number}"] = value
    return saved
