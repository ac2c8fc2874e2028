"""What the threads of a guest that makes no calls do: compute, wait, or stand still by a signal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from triage_tui.guest.freezing.senders import sender_of
from triage_tui.guest.host import process

if TYPE_CHECKING:
    from triage_tui.guest.calls.suspecting import Suspecting
    from triage_tui.guest.state.views import FrozenViews
    from triage_tui.runs.model import Syscall

_SPIN_SHARE = 0.5
"""Share of one CPU above which an idle guest is said to spin."""
_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class Measurement(msgspec.Struct, frozen=True):
    """The processor time that each thread had used at one moment."""

    at: float
    states: dict[tuple[int, int], process.ThreadState]
    """Host (pid, tid) -> state."""


def measure(pids: Iterable[int]) -> Measurement:
    """Look at all threads of `pids`.

    This takes time for each thread: too much for each tick of a busy guest.
    """
    now = time.monotonic()
    found: dict[tuple[int, int], process.ThreadState] = {}
    for pid in pids:
        for tid in process.threads(pid):
            state = process.thread_state(pid, tid)
            if state is not None:
                found[pid, tid] = state
    return Measurement(now, found)


class Spin(msgspec.Struct, frozen=True):
    """A guest that computes: `share` of one CPU in all, and the thread (host id) that used most of it."""

    share: float
    tid: int


def spin_between(before: Measurement | None, after: Measurement) -> Spin | None:
    """Return how a guest spun between two looks, None when it did not."""
    earlier = before.states if before is not None else after.states
    used = {
        key: state.ticks - (earlier[key].ticks if key in earlier else 0)
        for key, state in after.states.items()
    }
    if not used:
        return None
    seconds = max(after.at - (before.at if before is not None else 0.0), 0.1)
    share = sum(used.values()) / os.sysconf("SC_CLK_TCK") / seconds
    # A busy host may give a spinning guest very little.
    if share <= _SPIN_SHARE and not any(state.state == "R" for state in after.states.values()):
        return None
    _pid, tid = max(used, key=lambda key: (used[key], after.states[key].state == "R"))
    return Spin(share, tid)


class Standstill(msgspec.Struct, frozen=True):
    """A process that a signal stopped: its id in the guest, the signal, and the call that sent it.

    Where the guest did not send it itself, nothing tells which signal it was.
    """

    pid: int
    signal: str
    call: Syscall | None


def stopped_by_signal(guest: Suspecting, now: Measurement) -> Standstill | None:
    """Return how the main process of a guest that nobody froze was stopped, None when it was not.

    Every thread of a stopped process is in state T of proc(5); t where a tracer carries the calls.
    """
    main = guest.processes_known.main
    states = [state.state for (pid, _tid), state in now.states.items() if main and pid == main.pid]
    if main is None or not states or not set(states) <= set("TtZX") or not set(states) & set("Tt"):
        return None
    for number in _STOPS:
        call = sender_of(guest.trace.history, main.inner, number.name, number)
        if call is not None:
            return Standstill(main.inner, number.name, call)
    return Standstill(main.inner, "", None)


def living_thread(guest: FrozenViews, pid: int) -> int:
    """Return the thread that stands for the process `pid` (host ids): its first, or one that outlives it.

    Of those, one that is in a call says more than one that is in none.
    """
    states = {tid: process.thread_state(pid, tid) for tid in process.threads(pid)}
    living = [tid for tid, state in states.items() if state is not None and state.state not in "ZX"]
    if pid in living or not living:
        return pid
    logged = [tid for tid in living if tid in guest.trace.logs]
    telling = [tid for tid in logged if guest.trace.pending(guest.trace.logs[tid])]
    return (telling or logged or living)[0]
