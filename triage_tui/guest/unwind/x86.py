"""Unwind one frame of i386 or x86-64 code that has no call frame information.

What the rest of the function does to the stack says it best; rbp comes next, where it is a frame pointer.

A function with a frame pointer begins with `push rbp; mov rbp,rsp`; rbp then points to the pair (caller's
rbp, return address) (System V ABI, "The Stack Frame"). Functions without one stand between such functions:
rbp then belongs to a caller, and only the stack shows who called.
"""

from __future__ import annotations

from triage_tui.guest.unwind import x86_forward
from triage_tui.guest.unwind.calls import call_target, follows_call, is_return_address
from triage_tui.guest.unwind.model import MAX_FUNCTION, Code, Cursor, Step

_PROLOGUES = {
    8: (b"\x55\x48\x89\xe5", b"\x55\x48\x8b\xec"),
    4: (b"\x55\x89\xe5", b"\x55\x8b\xec"),
}
_LANDING = (b"\xf3\x0f\x1e\xfa", b"\xf3\x0f\x1e\xfb")
"""endbr64 and endbr32."""
_NEAR = 4096
"""Largest function, in bytes of code, that a direct call to its start is believed for without symbols."""
_WINDOW = 64 * 1024
"""Bytes of stack in which the return address of a function without frame pointer is looked for."""


def _frame_pointer(code: Code) -> str:
    return "rbp" if code.memory.arch.word == 8 else "ebp"


def _is_start(code: Code, addr: int) -> bool:
    """Say whether a function that sets up a frame pointer starts at `addr`."""
    data = code.memory.read(addr, 8)
    if data.startswith(_LANDING):
        data = data[4:]
    return data.startswith(_PROLOGUES[code.memory.arch.word])


def find_start(code: Code, pc: int) -> int | None:
    """Return the start of the function with a frame pointer that most likely holds `pc`, or None."""
    known = code.function_start(pc)
    if known is not None:
        return known if _is_start(code, known) else None
    low = max(0, pc - MAX_FUNCTION // 4)
    data = code.memory.read(low, pc - low)
    best = max(data.rfind(pattern) for pattern in _PROLOGUES[code.memory.arch.word])
    if best < 0:
        return None
    # A return followed by padding means that another function has begun since.
    rest = data[best:]
    for pad in (b"\xc3\xcc", b"\xc3\x90", b"\xc3\x66\x2e\x0f", b"\xc3\x0f\x1f", b"\xc3\x66\x90"):
        if pad in rest:
            return None
    return low + best


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of `cursor`, or None if nothing shows it."""
    pc = cursor.pc if cursor.exact else cursor.pc - 1
    record = _record(code, cursor)
    followed = x86_forward.step(code, cursor)
    if followed is not None:
        return followed
    if find_start(code, pc) is not None and record is not None:
        return record
    called = _called_from(code, cursor, pc, record.sp if record else None)
    if called is not None:
        return called
    return record


def _record(code: Code, cursor: Cursor) -> Cursor | None:
    """Return the caller that rbp leads to, if it is a plausible one."""
    word, name = code.memory.arch.word, _frame_pointer(code)
    value = cursor.saved.get(name, 0)
    if value < cursor.sp or value % word:
        return None
    previous, ret = code.memory.word(value), code.memory.word(value + word)
    if previous is None or ret is None or not is_return_address(code, ret):
        return None
    return Cursor(ret, value + 2 * word, None, cursor.saved | {name: previous}, method="frame_pointer")


def _called_from(code: Code, cursor: Cursor, pc: int, limit: int | None) -> Cursor | None:
    """Return the caller whose direct call leads into the function at `pc`, looked for below `limit`."""
    word = code.memory.arch.word
    start = code.function_start(pc)
    size = _WINDOW if limit is None else min(_WINDOW, max(0, limit - word - cursor.sp))
    data = code.memory.read(cursor.sp, size)
    for offset in range(0, len(data) - word + 1, word):
        value = int.from_bytes(data[offset : offset + word], "little")
        if not follows_call(code, value):
            continue
        target = call_target(code, value)
        if target is None:
            continue
        if target == start or (start is None and 0 <= pc - target < _NEAR):
            # Found by its meaning, not by its place: good, but no proof.
            return Cursor(value, cursor.sp + offset + word, None, cursor.saved, method="stack_scan")
    return None
