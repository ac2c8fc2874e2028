"""Go from frame to frame, choosing the best method for each and never trusting what it cannot check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from struct import unpack_from

from triage_tui.binary.cfi import Row
from triage_tui.guest.arch import Arch
from triage_tui.guest.state.memory import Memory, OutOfWorkError
from triage_tui.guest.unwind import aarch64, arm, call_frames, ehabi, mips, ppc, riscv, s390x, signals, x86
from triage_tui.guest.unwind.budget import metered
from triage_tui.guest.unwind.calls import LEAST_CODE, call_target, follows_call
from triage_tui.guest.unwind.function_start import find_start
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Outermost, Step
from triage_tui.guest.unwind.registers import (
    EM_386,
    EM_AARCH64,
    EM_ARM,
    EM_MIPS,
    EM_PPC,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    EM_X86_64,
    code_address,
    dwarf_names,
)
from triage_tui.guest.unwind.trampolines import trampoline
from triage_tui.runs.frame_model import Confidence, Frame

MAX_FRAMES = 64
"""Frames found at most unless the caller says otherwise."""

SCAN_BYTES = 4096
"""How far above sp the fallback looks for any return address."""

FAR_SCAN_BYTES = 128 * 1024
"""How far it looks for one whose direct call leads into the current function (large local arrays)."""

MAX_GUESSES = 6
"""How many frames may come from the stack scan."""

_BY_MACHINE: dict[int, tuple[Callable[[Code, Cursor], Step], ...]] = {
    EM_ARM: (ehabi.step, arm.step),
    EM_AARCH64: (aarch64.step,),
    EM_MIPS: (mips.step,),
    EM_RISCV: (riscv.step,),
    EM_PPC: (ppc.step,),
    EM_PPC64: (ppc.step,),
    EM_S390: (s390x.step,),
    EM_X86_64: (x86.step,),
    EM_386: (x86.step,),
}
_RANKS: tuple[Confidence, ...] = ("low", "medium", "high")


def frame_of(idx: int, cursor: Cursor) -> Frame:
    """Return a cursor as a frame of the record, without what its module says."""
    return Frame(
        idx=idx,
        addr=cursor.pc,
        addr_hex=f"0x{cursor.pc:x}",
        sp=cursor.sp,
        method=cursor.method,
        confidence=cursor.confidence,
        signal=cursor.signal,
        thumb=cursor.thumb,
    )


def walk(
    arch: Arch,
    registers: Mapping[str, int],
    memory: Memory,
    *,
    limit: int = MAX_FRAMES,
    is_code: Callable[[int], bool] | None = None,
    function_start: Callable[[int], int | None] | None = None,
    is_outermost: Callable[[int], bool | None] | None = None,
    unwind_row: Callable[[int], Row | None] | None = None,
    exception_code: Callable[[int], bytes | None] | None = None,
) -> list[Cursor]:
    """Return the frames of the call stack, innermost first; only what can be justified.

    Args:
        arch: the guest's architecture.
        registers: name -> value; on ARM `cpsr` or `thumb` gives the instruction set of frame 0.
        memory: the frozen guest's memory.
        limit: most frames to return.
        is_code: says whether instructions may lie at an address; by default the mappings decide.
        function_start: gives the start of the function at an address where its program file knows it.
        is_outermost: says that a frame has no caller (the program's entry code); None: that it may have none.
        unwind_row: gives the call frame information of the instruction at an address.
        exception_code: gives the EHABI unwind instructions of the function at an address.

    Each frame says how it was found and how sure it is. No frame is surer than the one before it. Of a guest
    that makes the work endless there are those frames that were found within `budget.MAX_READS`.
    """
    if arch.pc not in registers or arch.sp not in registers:
        return []
    code = Code(
        metered(memory),
        is_code or memory.may_hold_code,
        function_start or (lambda _addr: None),
        unwind_row or (lambda _addr: None),
        exception_code or (lambda _addr: None),
    )
    apart = {arch.pc, arch.sp, arch.lr}
    cursor = Cursor(
        pc=registers[arch.pc] & (~1 if arch.code_align == 2 else -1),
        sp=registers[arch.sp],
        lr=registers.get(arch.lr) if arch.lr else None,
        saved={
            name: registers[name]
            for name in dwarf_names(arch).values()
            if name in registers and name not in apart
        },
        thumb=arch.elf_machine == EM_ARM
        and (bool(registers.get("thumb", registers.get("cpsr", 0) >> 5) & 1) or bool(registers[arch.pc] & 1)),
    )
    frames = [cursor]
    with suppress(OutOfWorkError):
        _extend(frames, code, limit, is_outermost)
    return frames


def _extend(
    frames: list[Cursor], code: Code, limit: int, is_outermost: Callable[[int], bool | None] | None
) -> None:
    """Add the callers of the one frame in `frames`."""
    cursor = frames[0]
    seen = {(cursor.pc, cursor.sp)}
    guesses = 0
    while len(frames) < limit:
        last = is_outermost(cursor.pc) if is_outermost and len(frames) > 1 else False
        caller = None if last else _caller(code, cursor)
        if last or isinstance(caller, Outermost):
            return
        if caller is None:
            if last is None or guesses >= MAX_GUESSES or _ended(code, cursor):
                return
            guesses += 1
            caller = _scan(code, cursor)
            if caller is None:
                return
        if caller.method != "signal_frame":
            caller.signal = trampoline(code.memory, caller.pc, thumb=caller.thumb) is not None
        caller.confidence = _judge(code, cursor, caller)
        if (caller.pc, caller.sp) in seen:
            return
        seen.add((caller.pc, caller.sp))
        cursor = caller
        frames.append(cursor)


def _caller(code: Code, cursor: Cursor) -> Step:
    """Return the caller by the first method that gives a plausible one."""
    if cursor.signal:
        found = signals.step(code, cursor)
        if found is not None:
            return found
    steps = _BY_MACHINE.get(code.memory.arch.elf_machine, ())
    for step in (call_frames.step, *steps):
        found = step(code, cursor)
        if isinstance(found, Outermost) or (found is not None and _goes_up(code, cursor, found)):
            return found
    return None


def _goes_up(code: Code, cursor: Cursor, caller: Cursor) -> bool:
    """Every caller's stack pointer lies above; equal only for a leaf that took nothing."""
    if caller.sp % min(4, code.memory.arch.word) or caller.sp > code.memory.arch.word_mask:
        return False
    if cursor.exact and code.memory.arch.lr is not None:
        return caller.sp >= cursor.sp
    return caller.sp > cursor.sp


def _judge(code: Code, cursor: Cursor, caller: Cursor) -> Confidence:
    """Say how sure `caller` is.

    A direct call into the function from which we came is strong evidence for the pair; without one the
    caller is at most as sure as the frame from which it was found.
    """
    confirmed = _calls(code, cursor, caller)
    match caller.method:
        case "signal_frame":
            own: Confidence = "high"
        case "cfi" | "exception_index":
            own = caller.confidence
        case "stack_scan":
            own = "medium" if confirmed else "low"
        case _:
            own = "high" if confirmed or caller.signal else "medium"
    limit = cursor.confidence
    if confirmed:
        limit = "medium" if limit == "low" else "high"
    return min(own, limit, key=_RANKS.index)


def _calls(code: Code, cursor: Cursor, caller: Cursor) -> bool:
    """Say whether `caller` stands behind a direct call to the function of `cursor`."""
    value = caller.pc | 1 if caller.thumb else caller.pc
    target = call_target(code, value) if follows_call(code, value) else None
    if target is None:
        return False
    target = code_address(code.memory.arch, target)
    point = cursor.pc if cursor.exact else cursor.pc - code.memory.arch.code_align
    start = code.function_start(point)
    if start is None:
        # A prologue may stand some instructions behind the start.
        start = find_start(code, point, cursor.thumb, not cursor.exact)
        return start is not None and start - 24 <= target <= start
    return target == start


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
    count = len(data) // arch.word
    order = "<" if arch.endian == "little" else ">"
    # Most words of a stack are small numbers, and the others come again and again.
    others: set[int] = set()
    for index, value in enumerate(unpack_from(f"{order}{count}{'I' if arch.word == 4 else 'Q'}", data)):
        offset = index * arch.word
        if offset >= SCAN_BYTES and first is not None:
            break
        if value < LEAST_CODE or value in others:
            continue
        if not follows_call(code, value):
            others.add(value)
            continue
        found = Cursor(
            code_address(arch, value),
            cursor.sp + offset + arch.word,
            None,
            cursor.saved,
            thumb=arch.elf_machine == EM_ARM and bool(value & 1),
            method="stack_scan",
        )
        target = call_target(code, value)
        if target is not None and 0 <= cursor.pc - code_address(arch, target) < MAX_FUNCTION // 8:
            return found
        if offset < SCAN_BYTES:
            first = first or found
    return first
