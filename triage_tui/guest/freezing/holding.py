"""Hold threads where they are by ptrace(2): nothing that a guest or its kernel objects do lets them go on.

A process that SIGSTOP has stopped goes on at the next SIGCONT, and a guest can have one sent to itself while
it is stopped: by a POSIX timer, F_SETSIG, mq_notify, PR_SET_PDEATHSIG. A thread in a ptrace stop stays in it
whatever comes, SIGKILL excepted. The real parent is told nothing, and no signal has to be sent to let it go.

Everything happens in the thread that holds them, as ptrace demands; when that ends, the kernel kills them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

from triage_tui.guest.freezing import restarts
from triage_tui.guest.host import process
from triage_tui.guest.host.ptrace import Event, Tracee, TraceeGone

_WAIT_ALL = 0x40000000
_PATIENCE_S = 5.0
_LOOK_AGAIN_S = 0.0005


class HeldThreads:
    """Threads that nobody else traces."""

    def __init__(self) -> None:
        """Hold none."""
        self._tracees: dict[int, Tracee] = {}
        self._events: dict[int, Event] = {}
        """Thread -> how it stopped; those without one were asked to and have not."""
        self._late: set[int] = set()
        """Threads that are to go on as soon as they have stopped."""
        self.refused: set[int] = set()
        """Threads that may not be held by ptrace."""

    def hold(self, tids: Iterable[int]) -> set[int]:
        """Have threads stop where they are; return those that have not stopped yet. To be asked again."""
        tids = list(tids)
        for tid in tids:
            self._late.discard(tid)
            if tid not in self._tracees and tid not in self.refused:
                self._seize(tid)
        return {tid for tid in tids if tid in self._tracees and not self._has_stopped(tid)}

    def _seize(self, tid: int) -> None:
        try:
            self._tracees[tid] = tracee = Tracee(tid)
        except TraceeGone:
            return
        except OSError:
            state = process.thread_state(tid, tid)
            if state is not None and state.state not in "ZX":
                self.refused.add(tid)
            return
        # One that was stopped by a signal says so at once.
        if not self._has_stopped(tid) and tid in self._tracees:
            with contextlib.suppress(TraceeGone):
                tracee.interrupt()

    def _has_stopped(self, tid: int) -> bool:
        """Return whether a thread stands still; one that has ended is forgotten."""
        if tid not in self._events:
            try:
                event = self._tracees[tid].poll_event(0)
            except TraceeGone:
                del self._tracees[tid]
                return True
            if event is None:
                return False
            self._events[tid] = event
        return True

    def run_to_call(
        self,
        tid: int,
        is_wanted: Callable[[int, tuple[int, ...]], bool],
        is_elsewhere: Callable[[], bool],
        deadline: float,
    ) -> None:
        """Have a held thread go on to the entry of a host call, by number and arguments, that is wanted.

        It is held again there, or where it is at `deadline` (monotonic clock). `is_elsewhere` is asked while
        it runs, and tells whether it waits for an answer of the supervisor's: then it is left alone.
        """
        tracee, event = self._tracees.get(tid), self._events.get(tid)
        if tracee is None or event is None or event.kind not in ("asked", "call"):
            return
        try:
            self._events.pop(tid)
            tracee.resume()
            asked = False
            while True:
                event = tracee.poll_event(_LOOK_AGAIN_S)
                if event is None:
                    if is_elsewhere():
                        return
                    if not asked and time.monotonic() > deadline:
                        tracee.interrupt()
                        asked = True
                    continue
                entered = tracee.entered_call() if event.kind == "call" else None
                if event.kind != "call" or asked or (entered is not None and is_wanted(*entered)):
                    self._events[tid] = event
                    return
                tracee.resume()
        except TraceeGone:
            self._tracees.pop(tid, None)

    def release(self) -> None:
        """Let all threads go on as if they had never stopped."""
        self.refused.clear()
        self._late = set(self._tracees)
        self.release_late()

    def release_late(self) -> None:
        """Let those go that had not stopped yet when they were released."""
        gone: list[int] = []
        for tid in sorted(self._late):
            if self._has_stopped(tid):
                self._late.discard(tid)
                event = self._events.pop(tid, None)
                tracee = self._tracees.get(tid)
                if event is None or tracee is None:
                    continue
                try:
                    _let_go(tracee, event)
                    del self._tracees[tid]
                except TraceeGone:
                    gone.append(tid)
        # They were killed while they stood still. Their parents hear of it when we have taken note.
        self._await_ends(gone)

    def kill(self) -> None:
        """Kill all that are held: nobody else can see their end before us."""
        for tid in self._tracees:
            process.send_signal(tid, signal.SIGKILL)
        self._events.clear()
        self._late.clear()
        self._await_ends(list(self._tracees))

    def _await_ends(self, tids: list[int]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        for tid in tids:
            self._events.pop(tid, None)
        left = set(tids)
        while left and time.monotonic() < deadline:
            # The end of a process's first thread is told after those of all others.
            left = {tid for tid in left if not _has_ended(tid)}
            if left:
                time.sleep(_LOOK_AGAIN_S)
        for tid in tids:
            self._tracees.pop(tid, None)


def _has_ended(tid: int) -> bool:
    try:
        found, status = os.waitpid(tid, os.WNOHANG | _WAIT_ALL)
    except ChildProcessError:
        return True
    return bool(found) and not os.WIFSTOPPED(status)


def _let_go(tracee: Tracee, event: Event) -> None:
    # A signal that was about to be delivered is, and interrupts the call as it would have.
    if event.kind != "signal":
        with contextlib.suppress(OSError):
            restarts.set_back_stopped(tracee)
    tracee.let_go(event.signal)
