"""Freeze a guest's processes at a stop, fix what is looked at, and let them go on from there."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from triage_tui.guest.calls.served_calls import read_piece
from triage_tui.guest.calls.suspecting import Suspecting
from triage_tui.guest.freezing import pausing
from triage_tui.guest.freezing.activity import living_thread
from triage_tui.guest.freezing.computing import ComputingThreads
from triage_tui.guest.freezing.stops import Stop, loop_stop
from triage_tui.guest.host import host_memory, host_syscalls, process
from triage_tui.guest.host.descriptor_reserve import DescriptorReserve
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.result_text import parse_failure
from triage_tui.runs.process_model import Computation

_NAMES = host_syscalls.names()


def host_name(notification: Notification) -> str:
    """Return the name of the host call that a notification is about, `syscall_NR` for one without a name."""
    return _NAMES.get(notification.nr, f"syscall_{notification.nr}")


class Freezer(Suspecting):
    """The part of a guest that freezes it and lets it go on."""

    _release: Callable[[], None] | None
    """Lets the guest that has only been prepared begin; None since it has begun."""
    _signalled: set[int]
    """Host pids of the processes that are stopped by a signal alone."""
    _waiting: Notification | None
    """The notification that is being handled."""
    _computing: ComputingThreads
    _freeze_ms: float
    """What the last freeze took until every process stood still."""
    _reserve: DescriptorReserve
    """Kept while the guest runs, for what is read and written once it is frozen."""

    def _thaw(self) -> None:
        """Let everything run; the held call goes through the rules first.

        Raises:
            OSError: it could not be supervised: no descriptors are left (EMFILE). It stays frozen.
        """
        self._reserve.take()
        self._frozen = False
        self._first_stop = None
        self._choose_passed_on()
        self._looping_tid = 0
        self._computing = ComputingThreads()
        self._suspicions = 0
        self._freeze_ms = 0.0
        self.probes = []
        if self._release is not None:
            self._release()
            self._release = None
        pausing.let_go(self._carrier.holder, self._signalled)
        self._signalled.clear()
        for known in self.processes_known.by_pid.values():
            known.loops.clear()
        held, self._held = self._held, None
        if held is not None:
            self._resume_held(held)
        elif self._waiting is not None:
            # An exception (Ctrl-C) came between receiving and answering.
            waiting, self._waiting = self._waiting, None
            self._give_up(waiting, host_name(waiting))

    def _freeze(self, stop: Stop) -> Stop:
        """Stop every process and fix what is looked at."""
        # What was logged up to now may take seconds to read.
        moment = time.monotonic_ns()
        self._reserve.give_back()
        self._frozen = True
        self._close_suspicion()
        # Before the stop, which the kernel counts as a switch like that of a call.
        self._computing.look(self, now_at_once=True)
        pausing.stop_all(self.processes, self._carrier.holder, self._signalled, self._answered_tids())
        self._freeze_ms = (time.monotonic_ns() - moment) / 1e6
        if self.spec.checkpoint:
            from triage_tui.guest.checkpoint import coming_to_calls

            coming_to_calls.come_to_calls(self, self._defer_next)
        if self._signalled:
            self.report(
                "the guest is frozen by a signal, which it may undo: the system does not let its threads be "
                "held by ptrace"
            )
        self._hang_up()
        for known in self.processes_known.by_pid.values():
            # A program that was executed and has made no watched call since.
            self._locate(known)
        self.trace.drain_all(complete=True)
        self._look_at_log_opens()
        self._find_blocked()
        self._update_loop(stop)
        self._describe_waits()
        self._output.read_all()
        self._watchdog.tell_of_spin(stop, self._computing)
        if self._held is not None:
            self.pid, self.tid = self._held.process.pid, self._held.notification.tid
        elif self._looping_tid in self.trace.logs:
            self.pid, self.tid = self.trace.logs[self._looping_tid].pid, self._looping_tid
        elif stop.tid and (pid := process.process_of(stop.tid)) in self.processes_known.by_pid:
            self.pid, self.tid = pid, stop.tid
        else:
            main = self._main_living()
            if main is not None:
                self.pid, self.tid = main, living_thread(self, main)
        if self._held is None and not stop.trigger.sender:
            stop.trigger = self._watchdog.trigger_of_pending(self, stop)
        stop.trigger.tid = process.inner_pid(self.tid)
        stop.trigger.ts_mono_ns = moment
        known_now = self.processes_known.by_pid.get(self.pid)
        if known_now is not None and known_now.envs.get(self.tid) is None:
            # A thread that made no watched call yet.
            known_now.envs |= self.thread_places(self.pid, {self.tid: stop.trigger.tid})
        return stop

    def _defer_next(self) -> None:
        """Receive a call that a thread has come to while all others are frozen; it waits until they go on."""
        if not select.select([self._carrier], [], [], 0)[0]:
            return
        notification = self._carrier.receive()
        if notification is not None:
            if self._is_unasked_log(notification):
                self._proceed(notification)
            else:
                self._deferred.append(notification)

    def _is_unasked_log(self, notification: Notification) -> bool:
        """Return whether this is a piece of the log that says nothing which is to be decided about."""
        name = host_name(notification)
        if self._is_mere_log(notification, name) or not self._writes_log(notification, name):
            return self._is_mere_log(notification, name)
        _descriptor, place, size, *_ = notification.args
        try:
            text = host_memory.read_memory(notification.tid, place, size & 0xFFFF)
        except OSError:
            return False
        failure = parse_failure(text)
        error = self.arch.errno_name(failure) if failure is not None else None
        chosen = {trigger.errno for trigger in self._chosen}
        if error is not None and (error in chosen or "*" in chosen):
            return False
        return self.rules is None or read_piece(self.arch, text) is None

    def _answered_tids(self) -> set[int]:
        """Return the threads that wait for an answer."""
        waiting = [*self._deferred]
        waiting += [self._held.notification] if self._held is not None else []
        waiting += [self._waiting] if self._waiting is not None else []
        return {notification.tid for notification in waiting}

    def computed_by(self, tid: int) -> Computation | None:
        """Return what was measured of a thread that has computed for long, None of any other."""
        found = self._computing.found(tid)
        log = self.trace.logs.get(tid)
        if found is not None and log is not None and log.latest is not None:
            found.last_seq = log.latest.seq
        return found

    def _update_loop(self, stop: Stop) -> None:
        """Describe a loop as it is now: it went on while its text waited to be read."""
        log = self.trace.logs.get(self._looping_tid)
        known = self.processes_known.by_pid.get(log.pid) if log is not None else None
        detector = known.loops.get(self._looping_tid) if known is not None else None
        loop = detector.followed() if detector is not None and stop.loop is not None else None
        if loop is not None:
            stop.loop = loop
            stop.trigger.detail = loop_stop(loop, stop.trigger.pid).trigger.detail
            if not stop.trigger.syscall_name:
                stop.trigger.seq = loop.last_seq

    def _main_living(self) -> int | None:
        main = self.processes_known.main
        living = self.processes()
        if main is not None and main.pid in living:
            return main.pid
        return living[0] if living else None
