"""Find the call stack of a frozen guest: link register, prologues, frame records, at last a stack scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from triage_tui.guest.arch import Arch
from triage_tui.guest.memory import Memory
from triage_tui.guest.unwind import aarch64, arm, mips
from triage_tui.guest.unwind.arm_prologue import find_start
from triage_tui.guest.unwind.calls import call_target, is_return_address
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor
from triage_tui.runs.model import Frame

__all__ = ["MAX_FRAMES", "Cursor", "guess_function_start", "unwind", "walk"]

MAX_FRAMES = 32
"""Frames found at most unless the caller says otherwise."""

SCAN_BYTES = 4096
"""How far above sp the fallback looks for any return address."""

FAR_SCAN_BYTES = 128 * 1024
"""How far it looks for one whose direct call leads into the current function (large local arrays)."""

MAX_GUESSES = 6
"""How many frames may come from the stack scan."""

_STEPS = {
    "arm": arm.step,
    "armeb": arm.step,
    "mips": mips.step,
    "mipsel": mips.step,
    "aarch64": aarch64.step,
}
_FRAME_POINTERS = {"arm": ("r7", "r11"), "armeb": ("r7", "r11"), "aarch64": ("x29",)}


def unwind(
    arch: Arch,
    registers: Mapping[str, int],
    memory: Memory,
    *,
    limit: int = MAX_FRAMES,
    is_code: Callable[[int], bool] | None = None,
    function_start: Callable[[int], int | None] | None = None,
    is_outermost: Callable[[int], bool] | None = None,
) -> list[Frame]:
    """Return the call stack as `walk` finds it, innermost frame first."""
    cursors = walk(
        arch,
        registers,
        memory,
        limit=limit,
        is_code=is_code,
        function_start=function_start,
        is_outermost=is_outermost,
    )
    return [_frame(idx, cursor) for idx, cursor in enumerate(cursors)]


def walk(
    arch: Arch,
    registers: Mapping[str, int],
    memory: Memory,
    *,
    limit: int = MAX_FRAMES,
    is_code: Callable[[int], bool] | None = None,
    function_start: Callable[[int], int | None] | None = None,
    is_outermost: Callable[[int], bool] | None = None,
) -> list[Cursor]:
    """Return the frames of the call stack, innermost first; only what can be justified.

    Args:
        arch: the guest's architecture.
        registers: name -> value; on ARM `cpsr` or `thumb` gives the instruction set of frame 0.
        memory: the frozen guest's memory.
        limit: most frames to return.
        is_code: says whether instructions may lie at an address; by default the mappings decide.
        function_start: gives the start of the function at an address where symbols know it.
        is_outermost: says that a frame has no caller (the program's entry code).

    Each frame says how it was found. After a `stack_scan` frame the following ones hang on that guess.
    """
    if arch.pc not in registers or arch.sp not in registers:
        return []
    code = Code(memory, is_code or memory.may_hold_code, function_start or (lambda _addr: None))
    step = _STEPS.get(arch.name)
    cursor = Cursor(
        pc=registers[arch.pc] & (~1 if arch.code_align == 2 else -1),
        sp=registers[arch.sp],
        lr=registers.get(arch.lr) if arch.lr else None,
        saved={name: registers[name] for name in _frame_pointer_names(arch) if name in registers},
        thumb=bool(registers.get("thumb", registers.get("cpsr", 0) >> 5) & 1) or bool(registers[arch.pc] & 1),
    )
    frames = [cursor]
    guesses = 0
    while len(frames) < limit and not (is_outermost and len(frames) > 1 and is_outermost(cursor.pc)):
        caller = step(code, cursor) if step else None
        if caller is None or not _goes_up(cursor, caller):
            if guesses >= MAX_GUESSES or _ended(code, cursor):
                break
            guesses += 1
            caller = _scan(code, cursor)
            if caller is None:
                break
        cursor = caller
        frames.append(cursor)
    return frames


def guess_function_start(arch: Arch, memory: Memory, addr: int, *, thumb: bool = False) -> int | None:
    """Return where the function that holds `addr` most likely starts, judged by its prologue, or None."""
    code = Code(memory, memory.may_hold_code)
    if arch.elf_machine == 40:
        return find_start(code, addr, thumb, max(0, addr - MAX_FUNCTION))
    if arch.elf_machine == 8:
        return mips.find_start(code, addr)
    return aarch64.find_start(code, addr) if arch.name == "aarch64" else None


def _frame_pointer_names(arch: Arch) -> tuple[str, ...]:
    return ("s8",) if arch.elf_machine == 8 else _FRAME_POINTERS.get(arch.name, ())


def _frame(idx: int, cursor: Cursor) -> Frame:
    return Frame(idx=idx, addr=cursor.pc, addr_hex=f"0x{cursor.pc:x}", sp=cursor.sp, method=cursor.method)


def _goes_up(cursor: Cursor, caller: Cursor) -> bool:
    """Every caller's stack pointer lies above; equal only for a leaf that took nothing."""
    if caller.method == "link_register":
        return caller.sp >= cursor.sp
    return caller.sp > cursor.sp and caller.sp % 4 == 0


def _ended(code: Code, cursor: Cursor) -> bool:
    """Say whether the stack ends here: entry code clears the return address (psABI, process start)."""
    return cursor.lr == 0 or code.memory.word(cursor.sp) is None


def _scan(code: Code, cursor: Cursor) -> Cursor | None:
    """Return the first plausible caller found by looking at the words above sp.

    A return address whose direct call leads into the current function is taken before any other.
    """
    arch = code.memory.arch
    data = code.memory.read(cursor.sp, FAR_SCAN_BYTES)
    first: Cursor | None = None
    for offset in range(0, len(data) - arch.word + 1, arch.word):
        if offset >= SCAN_BYTES and first is not None:
            break
        value = int.from_bytes(data[offset : offset + arch.word], arch.endian)
        if not is_return_address(code, value):
            continue
        thumb = arch.elf_machine == 40 and bool(value & 1)
        found = Cursor(
            value & ~1 if thumb else value,
            cursor.sp + offset + arch.word,
            None,
            cursor.saved,
            thumb=thumb,
            method="stack_scan",
        )
        target = call_target(code, value)
        if target is not None and 0 <= cursor.pc - (target & ~1) < MAX_FUNCTION // 8:
            return found
        if offset < SCAN_BYTES:
            first = first or found
    return first
