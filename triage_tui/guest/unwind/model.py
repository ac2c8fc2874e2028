"""What the unwinders of all architectures share."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from triage_tui.binary.cfi import Row
from triage_tui.guest.state.memory import Memory
from triage_tui.runs.frame_model import Confidence, FrameMethod

MAX_FUNCTION = 32 * 1024
"""How far back, in bytes of code, the start of a function is looked for."""


class Cursor(msgspec.Struct):
    """Where the unwinding stands: one frame."""

    pc: int
    """The instruction where the frame stands if `exact`, else the return address; without a mode bit."""
    sp: int
    """Stack pointer while the frame is active."""
    lr: int | None
    """Return address register; trusted in an `exact` frame only, None in the others."""
    saved: dict[str, int] = msgspec.field(default_factory=dict)
    """Registers whose values in this frame are known, by name; pc and sp are left out."""
    thumb: bool = False
    method: FrameMethod = "pc"
    confidence: Confidence = "high"
    signal: bool = False
    """True for the code that a signal handler returns to; the next frame is the one that was interrupted."""

    @property
    def exact(self) -> bool:
        """True if `pc` is where the frame stands: the innermost one, or one that a signal interrupted."""
        return self.method in ("pc", "signal_frame")


class Outermost:
    """What a step returns for a frame that surely has no caller."""


OUTERMOST = Outermost()

Step = Cursor | Outermost | None
"""The caller, or that there is none, or None if that way of looking does not say."""


class Code(msgspec.Struct, frozen=True):
    """The code around the frames, as far as something is known of it."""

    memory: Memory
    is_code: Callable[[int], bool]
    """Says whether instructions may lie at an address."""
    function_start: Callable[[int], int | None] = lambda _addr: None
    """Gives the start of the function that holds an address where the program file says so."""
    unwind_row: Callable[[int], Row | None] = lambda _addr: None
    """Gives the call frame information of the instruction at an address."""
    exception_code: Callable[[int], bytes | None] = lambda _addr: None
    """Gives the EHABI unwind instructions of the function at an address."""
    starts: dict[tuple[int, bool, bool], int | None] = msgspec.field(default_factory=dict)
    """Function starts that were guessed before."""


def ror32(value: int, count: int) -> int:
    """Rotate a 32-bit value right."""
    count &= 31
    return ((value >> count) | (value << (32 - count))) & 0xFFFFFFFF if count else value
