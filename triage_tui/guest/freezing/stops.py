"""Why a guest was frozen, and the reasons that no single call gives: idleness and the time limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from triage_tui.guest.freezing.activity import (
    Measurement,
    Standstill,
    measure,
    spin_between,
    stopped_by_signal,
)
from triage_tui.guest.freezing.computing import ComputingThreads
from triage_tui.guest.freezing.loops import WAITS, is_sleep
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.guest.host import process
from triage_tui.runs.model import Loop, Reason, Syscall, Trigger

if TYPE_CHECKING:
    from triage_tui.guest.calls.suspecting import Suspecting
    from triage_tui.guest.supervisor import Guest

ON_REQUEST = "frozen on request"
"""Why a guest was frozen whose caller wants no more of it."""
_SETTLED_S = 0.2
"""Seconds without a call after which a guest's processor time begins to count."""
# What ends a thread never returns, nor do those that return elsewhere.
_NO_WAITS = frozenset(("exit", "sigreturn", "rt_sigreturn"))
_BESIDE_A_SPIN = frozenset(("loop", "sleep_loop", "time_limit", "requested", "unknown"))
"""Reasons that a thread which computes may have to do with, or hide."""
_BETWEEN_CALLS = frozenset(("time_limit", "unknown", "requested"))
"""Reasons that may find a guest in no call at all; that of an idle one tells whether it spins."""


class Stop(msgspec.Struct):
    """Why `run_until_stop` returned. `ended`: the guest is gone, nothing can be read from it any more."""

    reason: Reason
    trigger: Trigger
    loop: Loop | None = None
    ended: bool = False
    cancelled: bool = False
    """The caller asked for it; `reason` is "unknown"."""
    exit_code: int | None = None
    signal: str | None = None
    tid: int = 0
    """The thread (host id) that it is about, 0 when it is about none in particular."""


def make_trigger(call: Syscall | None, detail: str, seq: int = 0, pid: int = 0) -> Trigger:
    """Return the moment of a freeze at `call`, or at no call in particular."""
    now = time.time_ns()
    trigger = Trigger(seq=seq, syscall_name="", detail=detail, pid=pid)
    trigger.ts_sec, trigger.ts_nsec = divmod(now, 1_000_000_000)
    trigger.ts_mono_ns = time.monotonic_ns()
    if call is not None:
        trigger.seq, trigger.syscall_name, trigger.syscall_num = call.seq, call.name, call.num
        trigger.args, trigger.pid = list(call.args), call.pid
    return trigger


def _standstill(stopped: Standstill, seq: int) -> Trigger:
    """Return the moment of a freeze of a process that a signal had stopped."""
    if stopped.call is None:
        trigger = make_trigger(None, f"process {stopped.pid} is stopped by a signal", seq, stopped.pid)
    else:
        by = "it" if stopped.call.pid == stopped.pid else f"process {stopped.call.pid}"
        sent = f"{stopped.signal}, which {by} sent with {stopped.call.name}"
        trigger = make_trigger(stopped.call, f"process {stopped.pid} is stopped by {sent}")
        trigger.pid, trigger.sender = stopped.pid, stopped.call.pid
    trigger.stopped = stopped.signal or "a signal"
    return trigger


def loop_stop(loop: Loop, pid: int) -> Stop:
    """Return the stop of a process that goes round in `loop`."""
    names = list(dict.fromkeys(loop.names))
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    span = f"{loop.span_ms / 1000:.1f} s"
    if loop.varies:
        detail = f"no new kind of call for {span}, with {loop.repeats} sleeps: {shown}"
    else:
        about = "about " if loop.skimmed else ""
        times = f"{about}{loop.repeats} times in {span}"
        detail = f"the same {loop.period} calls again and again: {shown} {times}"
    return Stop("sleep_loop" if loop.sleeps else "loop", make_trigger(None, detail, loop.last_seq, pid), loop)


def chosen_stop(call: Syscall, errno: str | None, *, is_over: bool = False) -> Stop:
    """Return the stop at a call that a person chose: in front of it, or at its return with `errno`.

    `is_over`: only the log told of it, when it had been made.
    """
    how = f"at its return with {errno}" if errno else "in front of it"
    if is_over:
        how = "soon after it, which the emulator served by itself"
    return Stop("syscall", make_trigger(call, f"{call.name} was chosen to stop at: frozen {how}"))


class Watchdog:
    """Sees what does not happen: no syscall for a while, no end within the time limit."""

    def __init__(self, limits: TriggerLimits) -> None:
        self._limits = limits
        self._deadline = 0.0
        self._quiet_since = 0.0
        self._at_quiet: Measurement | None = None
        """The processor time of all threads a while after the last call."""
        self._count = -1
        self._sleeping: bool | None = None
        """Whether all the guest does is sleep; None until it was looked at."""

    def start(self) -> None:
        """The guest (again) starts to run now."""
        now = time.monotonic()
        self._deadline = now + self._limits.time_limit_s
        self._quiet_since = now
        self._count = -1

    def rest(self) -> None:
        """Forget since when nothing has happened."""
        self._quiet_since = time.monotonic()
        self._sleeping = None

    def is_overdue(self) -> bool:
        """Return whether the time limit has passed."""
        return time.monotonic() >= self._deadline

    def look(self, guest: Guest) -> Stop | None:
        """Return a stop when it is time for one."""
        now = time.monotonic()
        if guest.trace.count != self._count or guest.trace.last_activity > self._quiet_since:
            self._count = guest.trace.count
            self._quiet_since = max(now, guest.trace.last_activity)
            self._at_quiet = None
            self._sleeping = None
            return self.overdue(guest.trace.count)
        quiet = now - self._quiet_since
        if self._at_quiet is None and quiet >= min(_SETTLED_S, self._limits.idle_s / 2):
            self._at_quiet = measure(guest.processes())
        if "idle" not in self._limits.off and quiet >= self._limits.idle_s * self._patience(guest, quiet):
            return self.idle(guest, quiet, self._at_quiet)
        return self.overdue(guest.trace.count)

    def overdue(self, count: int) -> Stop | None:
        """Return a stop when the time limit has passed; `count` calls were made."""
        if not self.is_overdue():
            return None
        detail = f"nothing conclusive within {self._limits.time_limit_s:g} s"
        return Stop("time_limit", make_trigger(None, detail, count))

    @staticmethod
    def _pending(guest: Suspecting) -> list[Syscall]:
        """Return the calls that threads of the guest are in."""
        guest.trace.drain_all(complete=True)
        logs = [log for log in guest.trace.logs.values() if log.pid in guest.processes_known.by_pid]
        calls = [call for log in logs for call in guest.trace.pending(log)[-1:]]
        return [call for call in calls if call.name not in _NO_WAITS]

    def _patience(self, guest: Guest, quiet: float) -> float:
        if quiet < self._limits.idle_s:
            return 1.0
        if self._sleeping is None:
            calls = self._pending(guest)
            # A parent that waits for a child that sleeps waits for the same.
            others = [call for call in calls if not is_sleep(call) and call.name not in WAITS]
            self._sleeping = any(is_sleep(call) for call in calls) and not others
        return self._limits.sleep_patience if self._sleeping else 1.0

    def idle(self, guest: Suspecting, seconds: float, before: Measurement | None) -> Stop:
        """Return the stop of a guest that has made no call for `seconds`; `before` was measured meanwhile."""
        now = measure(guest.processes())
        calls = self._pending(guest)
        spin = spin_between(before, now)
        stopped = stopped_by_signal(guest, now) if spin is None else None
        trigger = make_trigger(None, f"no syscall for {seconds:.1f} s", guest.trace.count)
        if spin is not None:
            trigger.detail = f"spinning: no syscall for {seconds:.1f} s while using {spin.share:.0%} of a CPU"
        elif stopped is not None:
            trigger = _standstill(stopped, guest.trace.count)
        elif calls:
            names = ", ".join(dict.fromkeys(call.name for call in calls))
            trigger.detail = f"blocked in {names} for {seconds:.1f} s"
        trigger.spinning = spin is not None
        return Stop("idle", trigger, tid=spin.tid if spin is not None else 0)

    def tell_of_spin(self, stop: Stop, computing: ComputingThreads) -> None:
        """Say of a stop for other reasons that a thread has computed for as long as an idle guest may.

        At the time limit, which no thread in particular is the reason of, that thread is the one to look at.
        """
        tid, seconds = computing.longest()
        if stop.reason not in _BESIDE_A_SPIN or seconds < self._limits.idle_s:
            return
        thread = f"thread {process.inner_pid(tid)} computed for {seconds:.1f} s without a call"
        stop.trigger.detail = f"{stop.trigger.detail}; {thread}"
        if stop.reason == "time_limit":
            stop.tid, stop.trigger.spinning = tid, True

    @staticmethod
    def cancelled(guest: Guest) -> Stop:
        """Return the stop of a guest that the caller wants frozen now."""
        return Stop("unknown", make_trigger(None, ON_REQUEST, guest.trace.count), cancelled=True)

    @staticmethod
    def requested(guest: Guest, why: bool | str) -> Stop:
        """Return the stop of a guest that a person wants to look at; `why` in words: its time is over."""
        if isinstance(why, str):
            return Stop("time_limit", make_trigger(None, why, guest.trace.count))
        return Stop("requested", make_trigger(None, "a person wanted it", guest.trace.count))

    @staticmethod
    def trigger_of_pending(guest: Suspecting, stop: Stop) -> Trigger:
        """Name the call in which the looked-at process is, if it is in one and the trigger names none."""
        trigger = stop.trigger
        known = guest.processes_known.by_pid.get(guest.pid)
        if trigger.syscall_name or known is None:
            return trigger
        # A loop that was stopped between two calls is shown by its last one.
        looped = (call for call in reversed(guest.trace.history) if call.seq == trigger.seq)
        last = next(looped, None) if guest._looping_tid else None
        log = guest.trace.logs.get(guest.tid)
        pending = guest.trace.pending(log) if log is not None else []
        pending = [call for call in pending if call.name not in _NO_WAITS]
        if not pending:
            computing = stop.reason in _BETWEEN_CALLS
            detail = f"{trigger.detail}: it was computing, in no call" if computing else trigger.detail
            named = make_trigger(last, detail, trigger.seq, trigger.pid or known.inner)
        else:
            guest.fill_arguments(pending[-1], guest.tid)
            named = make_trigger(pending[-1], trigger.detail)
        named.spinning, named.stopped = trigger.spinning, trigger.stopped
        return named
