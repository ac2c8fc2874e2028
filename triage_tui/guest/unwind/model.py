"""What the unwinders of all architectures share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from triage_tui.guest.memory import Memory
from triage_tui.runs.model import FrameMethod

MAX_FUNCTION = 32 * 1024
"""How far back, in bytes of code, the start of a function is looked for."""


@dataclass(slots=True)
class Cursor:
    """Where the unwinding stands: one frame."""

    pc: int
    """Frame 0: the program counter; others: the return address, without a mode bit."""
    sp: int
    """Stack pointer while the frame is active."""
    lr: int | None
    """Return address register; trusted in frame 0 only, None in the others."""
    saved: dict[str, int] = field(default_factory=dict)
    """Values of callee-saved registers that may be frame pointers."""
    thumb: bool = False
    method: FrameMethod = "pc"


@dataclass(frozen=True, slots=True)
class Code:
    """The code around the frames, as far as something is known of it."""

    memory: Memory
    is_code: Callable[[int], bool]
    """Says whether instructions may lie at an address."""
    function_start: Callable[[int], int | None] = lambda _addr: None
    """Gives the start of the function that holds an address where a symbol says so."""


def ror32(value: int, count: int) -> int:
    """Rotate a 32-bit value right."""
    count &= 31
    return ((value >> count) | (value << (32 - count))) & 0xFFFFFFFF if count else value
