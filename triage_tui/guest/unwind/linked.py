"""Unwind a frame of an architecture with a link register from what its prologue did to the stack."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from triage_tui.guest.unwind.calls import call_target, is_return_address
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Step

MAX_CANDIDATES = 200
"""Stack allocations that are looked at as a prologue for one frame."""


class Layout(msgspec.Struct):
    """The stack of a function behind its prologue, relative to sp at its entry."""

    start: int
    """Address of the first allocation."""
    depth: int = 0
    """Bytes taken since entry."""
    slots: dict[str, int] = msgspec.field(default_factory=dict)
    """Register -> bytes below the entry sp at which the caller's value is saved."""
    frame_pointer: tuple[str, int] | None = None
    """(register, bytes below the entry sp to which it points)."""
    returned: bool = False
    """True if a return stands between the start and the point of interest."""


def step(
    code: Code, cursor: Cursor, read: Callable[[Code, int, bool], Layout | None], link: str, call_size: int
) -> Step:
    """Return the caller of `cursor`, or None if the prologue cannot be read.

    `read` gives the layout of the function that holds an address, which has called another one or may not
    have; `link` names the return address register; a call and its delay slot take `call_size` bytes.
    """
    # The call itself, not what follows it, belongs to the function for sure.
    pc = cursor.pc if cursor.exact else cursor.pc - call_size
    frame = read(code, pc, not cursor.exact)
    entry_sp, slot = cursor.sp, None
    saved = dict(cursor.saved)
    if frame is not None:
        entry_sp += frame.depth
        if frame.frame_pointer is not None and frame.frame_pointer[0] in saved:
            entry_sp = saved[frame.frame_pointer[0]] + frame.frame_pointer[1]
        if link in frame.slots:
            slot = code.memory.word(entry_sp - frame.slots[link])
        for name, below in frame.slots.items():
            value = code.memory.word(entry_sp - below)
            if name != link and value is not None:
                saved[name] = value
    if cursor.lr is not None and _is_leaf(code, pc, cursor.lr, slot, frame):
        # An allocation behind a return belongs to another function.
        if frame is None or frame.returned:
            return Cursor(cursor.lr, cursor.sp, None, cursor.saved, method="link_register")
        return Cursor(cursor.lr, entry_sp, None, saved, method="link_register")
    if slot is None or not is_return_address(code, slot):
        return None
    return Cursor(slot, entry_sp, None, saved, method="prologue")


def _is_leaf(code: Code, pc: int, link: int, slot: int | None, frame: Layout | None) -> bool:
    """Decide for an exact frame whether the link register still holds its return address."""
    if not is_return_address(code, link):
        return False
    if frame is None or slot is None or not is_return_address(code, slot):
        return True
    if link == slot:
        return False
    target = call_target(code, link)
    if target is not None and frame.start < target <= pc:
        return True
    # A function that has a frame and called something has its link register pointing into itself.
    return not frame.start <= link <= pc + MAX_FUNCTION // 4


def prologue_before(
    code: Code,
    pc: int,
    lowest: int,
    unit: int,
    allocates: Callable[[Code, int], object],
    layout: Callable[[Code, int, int], Layout],
    link: str,
    has_called: bool,
) -> int | None:
    """Return where the stack allocation stands that most likely is the prologue's of the function at `pc`.

    That is the nearest one behind which the return address is saved: compilers also make room for single
    calls, and other bytes can look like an allocation. Where a function may not have called yet and returns
    stand before any such, it is the nearest one: that of a leaf.
    """
    nearest: int | None = None
    left = MAX_CANDIDATES
    for addr in range(pc - unit, lowest - 1, -unit):
        if code.memory.halfword(addr) is None:
            break
        if not allocates(code, addr):
            continue
        left -= 1
        if not left:
            break
        frame = layout(code, addr, min(pc, addr + 160))
        if link in frame.slots:
            if nearest is not None and not has_called and layout(code, addr, nearest).returned:
                return nearest
            return addr
        if nearest is None and not frame.returned:
            nearest = addr
    return None if has_called else nearest
