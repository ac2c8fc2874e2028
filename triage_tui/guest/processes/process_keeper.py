"""Know the guest's processes and threads: their logs, their registers, their descriptors."""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Callable

from triage_tui.guest.calls.carrier import Carrier
from triage_tui.guest.cell import own_descriptors
from triage_tui.guest.emulator.startup import EmulatorStart, most_logs
from triage_tui.guest.host import process
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.thread_log import ThreadLog
from triage_tui.guest.processes.process_table import Forking, GuestProcess, Program
from triage_tui.guest.state.views import FrozenViews
from triage_tui.runs.model import Syscall
from triage_tui.text import recordable

_CLONE_THREAD = 0x10000
_MAX_PROBLEMS = 200
_OPENED = "the program opened its emulator's log: what the record says of its calls may be its own"
_LENGTHENED = "the program made its emulator's log longer: calls may be missing from the record"
_UNLOGGED = (
    "there are more processes and threads at once than descriptors for their logs (see ulimit -n): calls of "
    "the others are not recorded, and rules are not asked about them"
)
_UNWATCHED = "whether the program opens its emulator's log is not watched: inotify has no room"


class ProcessKeeper(FrozenViews):
    """The part of a guest that keeps track of its processes."""

    problems: list[str]
    _on_event: Callable[[str, str], None]
    _carrier: Carrier
    _emulator_start: EmulatorStart
    _withheld: frozenset[int]
    """Numbers of the host calls that are never executed as they stand."""

    def report(self, problem: str) -> None:
        """Note something that went wrong in the supervision itself, and tell it."""
        problem = recordable(problem)
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(problem)
            self._on_event("problem", problem)

    def _proceed(self, notification: Notification) -> None:
        """Have the call executed as it stands, which is all that executes any."""
        self._held_registers = None
        if notification.nr in self._withheld:
            # Whoever comes here with one is wrong, whatever the reason.
            self.report(f"the host call {notification.nr} was refused where nobody had decided about it")
            self._carrier.answer(notification, -errno.EPERM)
            return
        self._carrier.proceed(notification)

    def _answer(self, notification: Notification, result: int) -> None:
        self._held_registers = None
        self._carrier.answer(notification, result)

    def _look_at_log_opens(self) -> None:
        """Report, once, that a log was opened by somebody."""
        if self.trace.opens.happened() and _OPENED not in self.problems:
            self.report(_OPENED)
        if self.trace.was_lengthened and _LENGTHENED not in self.problems:
            self.report(_LENGTHENED)
        if not self.trace.opens.works and _UNWATCHED not in self.problems:
            self.report(_UNWATCHED)

    # ------------------------------------------------------------ processes and registers

    def _adopt(self, pid: int, env: int | None, program: Program) -> GuestProcess:
        """Get to know a process."""
        known = GuestProcess(pid, process.inner_pid(pid), program, envs={pid: env})
        self.processes_known.add(known)
        return known

    def _process_of(self, notification: Notification) -> GuestProcess | None:
        """Return the process of a notification.

        A forked process writes on in the log of the thread that forked it: the first time it is seen, which
        is inside fork itself, it gets a log of its own in that one's place.
        """
        tid = notification.tid
        known = self.processes_known.of_thread(tid)
        if known is not None:
            return known
        pid = process.process_of(tid)
        if pid == 0:
            return None
        parent = self.processes_known.by_pid.get(process.parent_of(pid))
        forking = (parent.forking if parent else None) or self.processes_known.last_forking
        origin = parent if parent is not None else forking.process if forking else self.processes_known.main
        # As it was in fork: the parent may execute another program before its child is seen.
        began = forking.program if forking else origin.program if origin else self.first_program
        program = copy.copy(began)
        first = program.location.env if program.location is not None else None
        known = self._adopt(pid, forking.env if forking else first, program)
        if origin is not None:
            known.identity = origin.identity.copy()
            inherited = forking.limits if forking else origin.limits
            known.limits = self.processes_known.early_limits.pop(pid, inherited).copy()
            known.parent = origin.inner
            self.trace.inherit_effects(origin.pid, pid)
        if forking is not None and forking.number is not None:
            if self._has_room_for_log(forking.number):
                self._put_log(self.trace.add(pid, tid, forking.number, program.arch), notification)
            else:
                # What it writes would be taken for the parent's.
                nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    self._put_descriptor(pid, nowhere, forking.number, notification)
                finally:
                    os.close(nowhere)
        return known

    def _note_fork(self, known: GuestProcess, notification: Notification, name: str) -> None:
        """Remember what a new process begins with."""
        flags = notification.args[0]
        if name in ("fork", "vfork") or not flags & _CLONE_THREAD:
            log = self.trace.logs.get(notification.tid)
            env = self._env(notification.tid)
            number = log.number if log else None
            known.forking = Forking(known, known.program, env, number, known.limits.copy())
            self.processes_known.last_forking = known.forking

    def _find_env(
        self, known: GuestProcess, notification: Notification, name: str, call: Syscall | None = None
    ) -> None:
        """Find the registers of a thread that is seen for the first time, in `call` if that is known."""
        number = process.inner_pid(notification.tid)
        env = self.processes_known.finder(known.program.arch).newest(known.pid, number)
        if env is None:
            env = self._registers_by_id(known, known.envs.get(known.pid)).get(number)
        if env is not None:
            known.envs[notification.tid] = env

    def _forget(self, pid: int) -> None:
        """Let go of a process that is gone."""
        self.trace.forget_process(pid)
        self.processes_known.remove(pid)

    # ------------------------------------------------------------ logs and other own descriptors

    def _put_log(self, log: ThreadLog, notification: Notification) -> None:
        """Give `log` to the process of a notification under its number."""
        self._put_descriptor(log.pid, log.writer, log.number, notification)

    def _put_descriptor(self, pid: int, fd: int, number: int, notification: Notification) -> None:
        # The number is above the guest's limit of open files, which counts for this too.
        start, known = self._emulator_start, self.processes_known.by_pid.get(pid)
        start.raise_limit(pid)
        try:
            self._carrier.add_fd(notification, fd, number, cloexec=True)
        finally:
            start.lower_limit(pid, known.limits.open_files(start.open_files) if known else None)

    def _open_log(self, known: GuestProcess, notification: Notification) -> None:
        """Answer the emulator's opening of a thread's log."""
        log = self._add_log(known, notification.tid)
        if log is None:
            # It asks again before the next thing that it would write.
            self._carrier.answer(notification, -errno.EMFILE)
            return
        self._put_log(log, notification)
        self._answer(notification, log.number)

    def _add_log(self, known: GuestProcess, tid: int) -> ThreadLog | None:
        """Start the log of a thread under a number that no other of its process has.

        Returns None, and reports it once, when there is no number or no descriptor of ours left.
        """
        # A forked process inherits logs of its parent's threads, but writes to none of them but its own.
        number = self._emulator_start.log_number(log.number for log in self.trace.of_process(known.pid))
        if not self._has_room_for_log(number) or number is None:
            return None
        return self.trace.add(known.pid, tid, number, known.program.arch)

    def _has_room_for_log(self, number: int | None) -> bool:
        """Return whether a log can be had under a number, if there is one; report, once, when not."""
        if number is not None and len(self.trace.logs) < most_logs():
            return True
        if _UNLOGGED not in self.problems:
            self.report(_UNLOGGED)
        return False

    def _guard_descriptors(
        self, known: GuestProcess, notification: Notification, name: str, call: Syscall | None
    ) -> bool:
        """Keep the emulator's own descriptors out of the guest's reach; True when the call was answered."""
        low = [argument & 0xFFFFFFFF for argument in notification.args[:2]]
        first = self._first_own_fd
        if name == "close" and call is None and low[0] >= first:
            # A thread has ended and the emulator closes its log; or it closes the connection to its stub.
            log = self.trace.logs.get(notification.tid)
            if log is not None and log.number == low[0]:
                self.trace.forget(notification.tid)
            return False
        if (name == "close" and low[0] >= first) or (name in ("dup2", "dup3") and low[1] >= first):
            # As for any descriptor above the limit of open files.
            self._answer(notification, -errno.EBADF)
            return True
        return False

    def _spare_descriptors(self, notification: Notification, name: str) -> Notification | None:
        """Keep the emulator's own descriptors out of a held close_range, whatever it is about to close.

        Returns the notification that is to be decided about, None when it was answered, or when the call
        comes again with other arguments.
        """
        arguments = own_descriptors.spared(name, notification, self._first_own_fd)
        if arguments is None:
            return notification
        try:
            return self._carrier.change_arguments(notification, arguments)
        except OSError:
            # As on a kernel without it: programs then close one by one.
            self._answer(notification, -errno.ENOSYS)
            return None
