"""Find the call stack of a frozen guest, each frame by the best evidence that there is for it.

In this order: the registers that the kernel saved for a signal handler, call frame information, the ARM
exception index, the prologue of the function or the chain that frames form, at last a scan of the stack.
"""

from __future__ import annotations

from contextlib import suppress

from triage_tui.guest.arch import Arch
from triage_tui.guest.state.memory import Memory, OutOfWorkError
from triage_tui.guest.unwind.budget import metered
from triage_tui.guest.unwind.function_start import find_start
from triage_tui.guest.unwind.model import Code, Cursor
from triage_tui.guest.unwind.walk import MAX_FRAMES, frame_of, walk

__all__ = ["MAX_FRAMES", "Cursor", "frame_of", "guess_function_start", "walk"]


def guess_function_start(arch: Arch, memory: Memory, addr: int, *, thumb: bool = False) -> int | None:
    """Return where the function that holds `addr` most likely starts, judged by its prologue, or None."""
    with suppress(OutOfWorkError):
        return find_start(Code(metered(memory), memory.may_hold_code), addr, thumb)
    return None
