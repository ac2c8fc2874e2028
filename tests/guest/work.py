"""How much work something does, counted in Python's function calls: the same on every machine."""

from __future__ import annotations

import cProfile
import signal
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_ENDLESS_S = 600
"""Processor time after which work without an end is given up; nothing that has one comes near."""


class TooMuchWorkError(AssertionError):
    """More calls than allowed."""


def within(limit: int, do: Callable[[], T]) -> T:
    """Return what `do` returns.

    Raises:
        TooMuchWorkError: it makes more than `limit` calls of Python functions and built-in ones.
    """

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TooMuchWorkError("there is no end of it")

    # Counted by the interpreter's own profiler: one in Python costs ten times what it counts.
    profile = cProfile.Profile()
    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, _ENDLESS_S)
    try:
        done = profile.runcall(do)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    made = sum(entry.callcount for entry in profile.getstats())
    if made > limit:
        raise TooMuchWorkError(f"{made} calls, more than {limit}")
    return done
