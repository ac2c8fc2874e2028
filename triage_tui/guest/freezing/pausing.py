"""Stop the processes of a guest where they are, and let them go on.

Every thread is held by ptrace(2), see `holding`. Where the system does not allow that, its process is stopped
by SIGSTOP, which a guest that has SIGCONT sent to itself gets out of.

The kernel restarts most calls that a stop interrupts by itself. Some end with EINTR instead (signal(7),
"Interruption of system calls by stop signals"); these are begun again before their thread goes on, see
`restarts`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from triage_tui.guest.freezing import restarts
from triage_tui.guest.host import host_syscalls, process
from triage_tui.guest.host.libc import libc

_PATIENCE_S = 1.0
_LOOK_AGAIN_S = 0.0003


class Holder(Protocol):
    """Who can hold a guest's threads: `holding.HeldThreads`, or the tracer that has them already."""

    @property
    def refused(self) -> Collection[int]:
        """Threads that could not be held."""

    def hold(self, tids: Iterable[int], /) -> set[int]:
        """Have threads stop where they are; return those that have not stopped yet. To be asked again."""

    def release(self) -> None:
        """Let all threads go on as if they had never stopped."""


def stop_all(
    living: Callable[[], list[int]], holder: Holder, signalled: set[int], answered: Collection[int] = ()
) -> None:
    """Stop all threads of the processes that `living` tells of, those forked meanwhile too.

    `answered` are threads that wait for an answer of the supervisor's: they are left alone. Processes that
    SIGSTOP alone stops are added to `signalled`, as it goes: an exception in between loses none that must be
    let go again.
    """
    asked: set[int] = set()
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        # Nothing that stands still makes threads or processes: what is new was made before.
        tids = {tid for pid in living() for tid in process.threads(pid)}.difference(answered, asked)
        if not tids:
            break
        asked |= tids
        going = tids
        while going and time.monotonic() < deadline:
            going = {tid for tid in holder.hold(going) if not _stops_by_itself(tid)}
            if going:
                time.sleep(_LOOK_AGAIN_S)
        refused = tids.intersection(holder.refused)
        if refused:
            pids = {process.process_of(tid) for tid in refused} - {0}
            signalled |= pids
            _signal(pids)
            _await_stopped(refused)


def let_go(holder: Holder, signalled: Iterable[int]) -> None:
    """Let everything go on that `stop_all` has stopped; `signalled` are those that it says."""
    holder.release()
    for pid in signalled:
        restarts.begin_again(pid)
        process.send_signal(pid, signal.SIGCONT)


def _stops_by_itself(tid: int) -> bool:
    """Return whether a thread that was asked to stop need not be waited for.

    In an uninterruptible sleep it stops before the guest's next instruction; or it has ended.
    """
    state = process.thread_state(tid, tid)
    return state is None or state.state in "DZX"


def _signal(pids: Iterable[int]) -> None:
    """Stop processes by a signal.

    Each thread is asked by itself. Of a process the kernel would ask one thread to stop the others, and may
    choose one that waits for the supervisor's answer: then none of them would stop.
    """
    number = host_syscalls.numbers()["tgkill"]
    for pid in pids:
        for tid in process.threads(pid):
            libc.syscall(number, pid, tid, int(signal.SIGSTOP))


def _await_stopped(tids: Iterable[int]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        states = [process.thread_state(tid, tid) for tid in tids]
        if all(state is None or state.state not in "RS" for state in states):
            return
        time.sleep(_LOOK_AGAIN_S)
