"""Bound the work of a backtrace: what the guest's memory holds must not make it endless.

Every way of finding a caller is bounded by itself, but a program can make each of them as long as it gets, in
every frame. What they all do is read memory: that is counted.
"""

from __future__ import annotations

from triage_tui.guest.state.memory import Memory

MAX_READS = 1_000_000
"""Reads for one backtrace, which takes some seconds then; those of real programs need up to 100,000."""


def metered(memory: Memory) -> Memory:
    """Return the view of the memory for one backtrace; its methods raise `OutOfWorkError` beyond that."""
    return memory.metered(MAX_READS)
