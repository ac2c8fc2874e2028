"""Let threads that stand where their registers are not exact go on to their next call, at a freeze.

A guest with several threads is frozen because of one; the others are caught wherever they are. Those that
compute, or have a result on its way to them, soon make another call, at which a checkpoint can be taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from triage_tui.guest.checkpoint.moment import check_unfinished, pending_call
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.freezing.holding import HeldThreads
from triage_tui.guest.host import host_syscalls, process

if TYPE_CHECKING:
    from triage_tui.guest.freezing.freezer import Freezer
    from triage_tui.guest.supervisor import Guest

_PATIENCE_S = 1.0
"""For all threads together: one that computes for longer is left where it is."""
_LEAST = 3
"""Threads of the emulator with several of the guest's: it has one of its own."""


def come_to_calls(frozen: Freezer, defer: Callable[[], None]) -> None:
    """Let threads of a frozen guest go on to where a checkpoint can be taken, as far as that is soon.

    `defer` receives a call that another thread has come to meanwhile, or lets a piece of the log be written.

    Raises:
        OSError: it is gone.
    """
    guest = cast("Guest", frozen)
    holder = guest.holder
    living = guest.processes()
    if not isinstance(holder, HeldThreads) or len(living) != 1:
        return
    tids = process.threads(living[0])
    if len(tids) < _LEAST:
        return
    deadline = time.monotonic() + _PATIENCE_S
    for tid in tids:
        log = guest.trace.logs.get(tid)
        if log is None or guest.waits_for_answer(tid):
            continue
        guest.trace.drain(log, complete=True)
        if not _stands_well(guest, tid):
            holder.run_to_call(
                tid,
                lambda number, arguments, tid=tid: _is_call(guest, tid, number, arguments),  # type: ignore[misc]
                lambda tid=tid: _is_deferred(guest, tid, defer),  # type: ignore[misc]
                deadline,
            )


def _stands_well(guest: Guest, tid: int) -> bool:
    try:
        pending_call(guest, tid)
        check_unfinished(tid, is_looked_at=False)
    except Obstacle:
        return False
    return True


def _is_call(guest: Guest, tid: int, number: int, arguments: tuple[int, ...]) -> bool:
    """Return whether a host call that a thread is about to make is the guest's."""
    if number == host_syscalls.numbers().get("write") and arguments[0] >= guest.first_own_fd:
        return False
    log = guest.trace.logs[tid]
    guest.trace.drain(log, complete=True)
    return bool(guest.trace.pending(log))


def _is_deferred(guest: Guest, tid: int, defer: Callable[[], None]) -> bool:
    defer()
    return guest.waits_for_answer(tid)
