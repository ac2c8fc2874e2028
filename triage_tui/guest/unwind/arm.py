"""Unwind one ARM frame (A32 or Thumb-2) by reading its prologue (AAPCS, "The Stack")."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from triage_tui.guest.unwind.arm_prologue import LR, Layout, find_start, layout, may_be_second_half
from triage_tui.guest.unwind.calls import call_target, is_return_address
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Step, ror32

FRAME_POINTERS = {7: "r7", 11: "r11"}


def _through_plt(code: Code, target: int) -> int:
    """Follow a PLT entry (`add ip,pc,#a; add ip,ip,#b; ldr pc,[ip,#c]!`) to where it goes."""
    mode = target & 1
    addr = target & ~1
    if mode:
        # Thumb callers enter through `bx pc; nop`.
        if code.memory.halfword(addr) != 0x4778:
            return target
        addr += 4
    words = [code.memory.instruction(addr + 4 * i) or 0 for i in range(3)]
    if words[0] & 0xFFFFF000 != 0xE28FC000 or words[2] & 0xFFFFF000 != 0xE5BCF000:
        return target
    got = addr + 8 + ror32(words[0] & 0xFF, (words[0] >> 8 & 15) * 2)
    if words[1] & 0xFFFFF000 == 0xE28CC000:
        got += ror32(words[1] & 0xFF, (words[1] >> 8 & 15) * 2)
    return code.memory.word((got + (words[2] & 0xFFF)) & 0xFFFFFFFF) or target


def _entry_sp(cursor: Cursor, frame: Layout) -> int:
    """Return sp at the entry of the function."""
    if frame.frame_pointer is not None:
        register, below = frame.frame_pointer
        value = cursor.saved.get(FRAME_POINTERS[register])
        if value is not None and cursor.sp <= value + 4096:
            return value + below
    return cursor.sp + frame.depth


def _saved(code: Code, cursor: Cursor, frame: Layout, entry_sp: int) -> dict[str, int]:
    """Return the registers of the caller that the function preserves."""
    saved = dict(cursor.saved)
    for number, below in frame.slots.items():
        value = code.memory.word(entry_sp - below) if 4 <= number <= 11 else None
        if value is not None:
            saved[f"r{number}"] = value
    return saved


MAX_CANDIDATES = 8
"""Pushes of lr that are tried, nearest first: words of literal pools can look like one."""


def _frames(code: Code, cursor: Cursor, pc: int, known: int | None) -> Iterator[tuple[Layout, int | None]]:
    """Yield (stack layout, value in the slot of lr) for every prologue that may belong to `pc`."""
    lowest = max(0, pc - MAX_FUNCTION, known or 0)
    before = pc
    for _ in range(MAX_CANDIDATES):
        start = find_start(code, before, cursor.thumb, lowest, doubtful=known is None)
        if start is None:
            return
        before = start
        frame = layout(code, start if known is None else known, pc, cursor.thumb)
        if LR in frame.slots:
            slot = code.memory.word(_entry_sp(cursor, frame) - frame.slots[LR])
            doubtful = known is None and cursor.thumb and may_be_second_half(code, start)
            # What may be no push is one where the call that was returned to leads right there.
            if not doubtful or (slot is not None and (call_target(code, slot) or 0) & ~1 == start):
                yield frame, slot
        if known is not None:
            # Whatever push was found, the layout is that from the start on.
            return


def _fits(code: Code, frame: Layout, slot: int | None, pc: int) -> bool:
    """Say whether the saved return address may belong to this function.

    A direct call that leads behind the prologue shows that another, later function holds the pc.
    """
    if slot is None or not is_return_address(code, slot):
        return False
    target = call_target(code, slot)
    return target is None or not frame.start + 16 < target & ~1 <= pc


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of `cursor`, or None if the prologue cannot be read."""
    pc = cursor.pc if cursor.exact else cursor.pc - (2 if cursor.thumb else 4)
    known = code.function_start(pc)
    candidates: Iterator[tuple[Layout, int | None]] = _frames(code, cursor, pc, known)
    if cursor.lr is not None:
        first = next(candidates, None)
        nearest, nearest_slot = first or (None, None)
        own = _leaf_start(code, cursor, pc, nearest, nearest_slot, known)
        if own is not None:
            return _leaf(code, cursor, own, pc)
        if first is not None:
            candidates = chain([first], candidates)
    for frame, slot in candidates:
        if slot is not None and _fits(code, frame, slot, pc):
            entry_sp = _entry_sp(cursor, frame)
            saved = _saved(code, cursor, frame, entry_sp)
            return Cursor(slot & ~1, entry_sp, None, saved, thumb=bool(slot & 1), method="prologue")
    return None


def _leaf_start(
    code: Code, cursor: Cursor, pc: int, frame: Layout | None, slot: int | None, known: int | None
) -> int | None:
    """Return where the innermost function starts if lr still holds its return address, else None.

    After calls lr may point anywhere, so that it is believed only where nothing better speaks against it.
    """
    lr = cursor.lr or 0
    if not is_return_address(code, lr):
        return None
    target = call_target(code, lr)
    if target is not None:
        target = _through_plt(code, target) & ~1
        if not pc - MAX_FUNCTION < target <= pc:
            target = None
    framed = frame is not None and slot is not None and is_return_address(code, slot)
    if not framed:
        return known or target or pc
    if lr != slot and frame is not None and target is not None and target > frame.start:
        return target
    return None


def _leaf(code: Code, cursor: Cursor, start: int, pc: int) -> Cursor:
    """Return the caller of an innermost function at `start` that keeps its return address in lr."""
    lr = cursor.lr or 0
    frame = layout(code, start, pc, cursor.thumb)
    # A return in between means that the stack was given back or that `start` is not ours.
    entry_sp = cursor.sp if frame.returned else _entry_sp(cursor, frame)
    saved = cursor.saved if frame.returned else _saved(code, cursor, frame, entry_sp)
    return Cursor(lr & ~1, entry_sp, None, saved, thumb=bool(lr & 1), method="link_register")
