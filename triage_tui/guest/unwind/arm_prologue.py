"""Read ARM prologues, A32 and Thumb-2 (T32): what each instruction does to the stack.

Encodings: Arm Architecture Reference Manual ARMv7-A/R, chapters A6 (Thumb) and A8.
"""

from __future__ import annotations

import msgspec

from triage_tui.guest.unwind.model import Code, ror32

LR = 14


class Effect(msgspec.Struct, frozen=True):
    """What one instruction does, as far as unwinding is concerned."""

    size: int
    """Bytes of the instruction."""
    push: tuple[int, ...] = ()
    """Registers stored below sp, lowest address first."""
    drop: int = 0
    """Bytes by which sp goes down otherwise."""
    frame_pointer: tuple[int, int] | None = None
    """(register, n): the register becomes sp + n."""
    below_entry: tuple[int, int] | None = None
    """(register, n): the register becomes the sp at entry - n."""
    leaves: bool = False
    """True for an instruction that returns from the function."""


def _bits(mask: int) -> tuple[int, ...]:
    return tuple(i for i in range(16) if mask >> i & 1)


def thumb_immediate(i: int, imm3: int, imm8: int) -> int:
    """Return the value of a Thumb modified immediate (ThumbExpandImm)."""
    top = i << 3 | imm3
    if top < 4:
        return (imm8, imm8 | imm8 << 16, imm8 << 8 | imm8 << 24, imm8 * 0x01010101)[top]
    return ror32(0x80 | imm8 & 0x7F, top << 1 | imm8 >> 7)


def _thumb(code: Code, addr: int) -> Effect | None:
    first = code.memory.halfword(addr)
    if first is None:
        return None
    if first >> 11 not in (0x1D, 0x1E, 0x1F):
        if first & 0xFE00 == 0xB400:
            return Effect(2, push=(*_bits(first & 0xFF), *((LR,) if first & 0x100 else ())))
        if first & 0xFF80 == 0xB080:
            return Effect(2, drop=(first & 0x7F) * 4)
        if first & 0xFF00 == 0xAF00:
            return Effect(2, frame_pointer=(7, (first & 0xFF) * 4))
        if first == 0x466F:
            return Effect(2, frame_pointer=(7, 0))
        return Effect(2, leaves=first == 0x4770 or first & 0xFF00 == 0xBD00)
    second = code.memory.halfword(addr + 2)
    if second is None:
        return None
    if first == 0xE92D:
        return Effect(4, push=_bits(second))
    if first == 0xF84D and second & 0x0FFF == 0x0D04:
        return Effect(4, push=(second >> 12,))
    if first in (0xF5AD, 0xF1AD) and second & 0x8F00 == 0x0D00:
        return Effect(4, drop=thumb_immediate(first >> 10 & 1, second >> 12 & 7, second & 0xFF))
    if first in (0xF2AD, 0xF6AD) and second & 0x8F00 == 0x0D00:
        return Effect(4, drop=(first >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 0xFF)
    if first & 0xFFBF == 0xED2D:
        return Effect(4, drop=(second & 0xFF) * 4)
    if first == 0xE96D:
        # strd ra, rb, [sp, #-n]!
        moved = (second & 0xFF) * 4
        return Effect(4, push=(second >> 12, second >> 8 & 15), drop=moved - 8) if moved >= 8 else Effect(4)
    return Effect(4, leaves=first == 0xE8BD and bool(second & 0x8000))


def _a32(code: Code, addr: int) -> Effect | None:
    insn = code.memory.instruction(addr)
    if insn is None:
        return None
    if insn & 0xFFFF0000 == 0xE92D0000:
        return Effect(4, push=_bits(insn & 0xFFFF))
    if insn & 0xFFFF0FFF == 0xE52D0004:
        return Effect(4, push=(insn >> 12 & 15,))
    if insn & 0xFFFF00F0 == 0xE16D00F0:
        # strd ra, rb, [sp, #-n]!
        register, moved = insn >> 12 & 15, (insn >> 4 & 0xF0) | insn & 0xF
        return Effect(4, push=(register, register + 1), drop=moved - 8) if moved >= 8 else Effect(4)
    if insn & 0xFFFFF000 == 0xE24DD000:
        return Effect(4, drop=ror32(insn & 0xFF, (insn >> 8 & 15) * 2))
    if insn & 0xFFBF0E00 == 0xED2D0A00:
        return Effect(4, drop=(insn & 0xFF) * 4)
    if insn & 0xFFFF0000 == 0xE28D0000 and insn >> 12 & 15 in (7, 11):
        return Effect(4, frame_pointer=(insn >> 12 & 15, ror32(insn & 0xFF, (insn >> 8 & 15) * 2)))
    if insn & 0xFFFF0FFF == 0xE1A0000D and insn >> 12 & 15 in (7, 11):
        return Effect(4, frame_pointer=(insn >> 12 & 15, 0))
    if insn & 0xFFFFF000 == 0xE24CB000:
        # sub fp, ip, #n: APCS frames keep the entry sp in ip.
        return Effect(4, below_entry=(11, insn & 0xFFF))
    return Effect(4, leaves=_is_a32_return(insn))


def _is_a32_return(insn: int) -> bool:
    # bx lr; ldm sp!, {..., pc}; ldr pc, [sp], #4
    return insn == 0xE12FFF1E or insn & 0xFFFF8000 == 0xE8BD8000 or insn == 0xE49DF004


def effect(code: Code, addr: int, thumb: bool) -> Effect | None:
    """Return what the instruction at `addr` does, or None if it cannot be read."""
    return _thumb(code, addr) if thumb else _a32(code, addr)


class Layout(msgspec.Struct):
    """The stack of a function at some point, relative to sp at its entry."""

    start: int
    """Address of the first instruction looked at."""
    depth: int = 0
    """Bytes taken since entry."""
    slots: dict[int, int] = msgspec.field(default_factory=dict)
    """Register -> bytes below the entry sp at which it was saved."""
    frame_pointer: tuple[int, int] | None = None
    """(register, bytes below the entry sp to which it points)."""
    returned: bool = False
    """True if a return instruction stands between start and the point."""


_PIECE = 1024
"""Bytes of code that are read at once."""
WINDOW = 60
"""Instructions behind the start in which a prologue may still allocate (shrink wrapping, late locals)."""


def layout(code: Code, start: int, pc: int, thumb: bool) -> Layout:
    """Follow the instructions from `start` to `pc` and return what they did to the stack."""
    result = Layout(start)
    addr, count = start, 0
    while addr < pc and count < WINDOW:
        done = effect(code, addr, thumb)
        if done is None:
            return result
        if done.leaves:
            result.returned = True
        for i, register in enumerate(done.push):
            below = result.depth + 4 * (len(done.push) - i)
            result.slots.setdefault(register, below)
        result.depth += 4 * len(done.push) + done.drop
        if done.frame_pointer and result.frame_pointer is None:
            register, offset = done.frame_pointer
            result.frame_pointer = (register, result.depth - offset)
        result.frame_pointer = result.frame_pointer or done.below_entry
        addr += done.size
        count += 1
    result.returned = result.returned or _returns(code, addr, pc, thumb)
    return result


def _returns(code: Code, addr: int, end: int, thumb: bool) -> bool:
    """Say whether one of the instructions from `addr` to `end`, or to the first unreadable one, returns."""
    while addr < end:
        if not thumb:
            words = code.memory.code_units(addr, min((end - addr + 3) & ~3, _PIECE), 4)
            if any(map(_is_a32_return, words)):
                return True
            addr += 4 * len(words)
            if not words:
                return False
            continue
        # The last one may reach beyond the end.
        units = code.memory.code_units(addr, min((end - addr + 3) & ~1, _PIECE), 2)
        at, last = 0, min(len(units), (end - addr + 1) // 2)
        while at < last:
            first = units[at]
            if first < 0xE800:
                if first == 0x4770 or first & 0xFF00 == 0xBD00:
                    return True
                at += 1
            elif at + 1 == len(units):
                break
            elif first == 0xE8BD and units[at + 1] & 0x8000:
                return True
            else:
                at += 2
        if at == 0:
            return False
        addr += 2 * at
    return False


def may_be_second_half(code: Code, addr: int) -> bool:
    """Say whether the halfword at `addr` seems to be the second half of a 32-bit Thumb instruction.

    It can look like a push, and like a first half: of a row of such halves every other one begins an
    instruction. The end of a literal pool in front of a function looks like a first half, too.
    """
    row = 0
    while row < 8 and (code.memory.halfword(addr - 2 - 2 * row) or 0) >> 11 in (0x1D, 0x1E, 0x1F):
        row += 1
    return row % 2 == 1


def _pushes_lr(code: Code, addr: int, thumb: bool, doubtful: bool) -> bool:
    if not thumb:
        insn = code.memory.instruction(addr) or 0
        return insn & 0xFFFF4000 == 0xE92D4000 or insn == 0xE52DE004
    first, second = code.memory.halfword(addr) or 0, code.memory.halfword(addr + 2) or 0
    if first & 0xFF00 == 0xB500:
        return doubtful or not may_be_second_half(code, addr)
    return (first == 0xE92D and bool(second & 0x4000)) or (first == 0xF84D and second == 0xED04)


def find_start(code: Code, pc: int, thumb: bool, lowest: int, *, doubtful: bool = False) -> int | None:
    """Return the start of the prologue that saves lr nearest before `pc`, or None.

    With `doubtful` also that of one that may be no instruction, see `may_be_second_half`.

    A push of argument registers before it (variadic functions) belongs to it.
    """
    unit = 2 if thumb else 4
    end, piece = pc, _PIECE
    while (size := min(end - lowest, piece) // unit * unit) > 0:
        units = code.memory.code_units(end - size, size, unit)
        if len(units) * unit < size:
            # There is a hole, before which nothing is looked at: go as far as that one by one.
            if piece == unit:
                if code.memory.halfword(end - unit) is None:
                    return None
                end -= unit
            piece = unit
            continue
        for at in range(len(units) - 1, -1, -1):
            addr = end - size + at * unit
            if _may_push_lr(units[at], thumb) and _pushes_lr(code, addr, thumb, doubtful):
                return _argument_push(code, addr, thumb)
        end -= size
    return None


def _may_push_lr(unit: int, thumb: bool) -> bool:
    """Say whether an instruction may be a push of lr, from its first halfword where it is Thumb code."""
    if not thumb:
        return unit & 0xFFFF4000 == 0xE92D4000 or unit == 0xE52DE004
    return unit & 0xFF00 == 0xB500 or unit in (0xE92D, 0xF84D)


_ARGUMENT_PUSHES = ((3,), (2, 3), (1, 2, 3), (0, 1, 2, 3))
"""What variadic functions push first: the last of the argument registers."""


def _argument_push(code: Code, start: int, thumb: bool) -> int:
    """Return the push of argument registers shortly before `start`, or `start` itself.

    Going backwards the borders of Thumb instructions are unknown: every halfword is looked at.
    """
    unit, steps = (2, 6) if thumb else (4, 4)
    for addr in range(start - unit, start - unit * steps - 1, -unit):
        before = effect(code, addr, thumb)
        if before is None or (before.leaves and before.size == unit):
            return start
        if before.push in _ARGUMENT_PUSHES and before.size == unit:
            return addr
    return start
