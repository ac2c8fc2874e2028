"""Which threads compute for long without a call, whatever the other threads of the guest do meanwhile.

A thread that spins makes no calls, so nothing of it is in a trace, and a guest in which another thread makes
a call now and then is never idle. So all threads are looked at from time to time: whether the log of each has
grown, and whether it had or wanted a processor all the time. That is a measurement and no verdict: a program
that compresses or searches does the same.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from triage_tui.guest.host import process
from triage_tui.runs.process_model import Computation

if TYPE_CHECKING:
    from triage_tui.guest.calls.suspecting import Suspecting

_PERIOD_S = 0.5
"""How often all threads are looked at: this takes time for each of them."""
_SHORT_S = 0.1
"""What the kernel counts is some milliseconds late: in a shorter time it says nothing."""
_LEAST_S = 1.0
"""Shorter computations are not told of: nearly every program has some."""
_SHARE = 0.6
"""Share of the time in which a thread that computes runs or waits to run; the machine may stand still."""
_KERNEL_SHARE = 0.1
"""Share of the time from which on a thread spends it in calls, although none was observed."""


class _Watched(msgspec.Struct):
    """One thread since its last call."""

    made: tuple[int, int]
    """What grows with each call of the thread."""
    since: float
    used: float
    """Processor time in seconds at `since`."""
    at: float
    """When it was looked at last, and its time then of running and waiting to run."""
    wanted: float
    kernel: int
    """Clock ticks in the kernel at `at`; 0 where all calls are observed."""


class ComputingThreads:
    """Measures for how long each thread has computed without a call."""

    def __init__(self) -> None:
        self._threads: dict[int, _Watched] = {}
        self._next = 0.0

    def look(self, guest: Suspecting, *, now_at_once: bool = False) -> None:
        """Look at all threads of a guest that runs, when it is time for that or `now_at_once`."""
        now = time.monotonic()
        if now < self._next and not now_at_once:
            return
        self._next = now + _PERIOD_S
        living: set[int] = set()
        for pid in guest.processes():
            for tid in process.threads(pid):
                living.add(tid)
                self._look_at(guest, pid, tid, now)
        for tid in self._threads.keys() - living:
            del self._threads[tid]

    def _look_at(self, guest: Suspecting, pid: int, tid: int, now: float) -> None:
        log = guest.trace.logs.get(tid)
        if log is None and guest.observes_all:
            # The emulator's own, which does not compute, or one that has only just been made.
            self._threads.pop(tid, None)
            return
        # Calls that are not observed show in what the kernel counts.
        kernel, switches = (0, 0) if guest.observes_all else process.progress(pid, tid)
        made = (log.size() if log is not None else 0, switches)
        used, waited = process.scheduled_seconds(tid)
        known = self._threads.get(tid)
        if known is not None and known.made == made:
            elapsed = now - known.at
            if elapsed < _SHORT_S:
                return
            in_kernel = (kernel - known.kernel) / os.sysconf("SC_CLK_TCK")
            if used + waited - known.wanted >= _SHARE * elapsed and in_kernel <= _KERNEL_SHARE * elapsed:
                known.at, known.wanted, known.kernel = now, used + waited, kernel
                return
        self._threads[tid] = _Watched(made, now, used, now, used + waited, kernel)

    def found(self, tid: int) -> Computation | None:
        """Return what was measured of a thread (host id), None where it has not computed for long."""
        known = self._threads.get(tid)
        if known is None or known.at - known.since < _LEAST_S:
            return None
        seconds = known.at - known.since
        used = process.scheduled_seconds(tid)[0] - known.used
        return Computation(seconds=round(seconds, 2), processor_seconds=round(used, 2))

    def longest(self) -> tuple[int, float]:
        """Return the thread (host id) that has computed for longest, and its seconds; (0, 0.0): none."""
        times = {tid: known.at - known.since for tid, known in self._threads.items()}
        tid = max(times, key=lambda each: times[each], default=0)
        return (tid, times[tid]) if tid and times[tid] >= _LEAST_S else (0, 0.0)
