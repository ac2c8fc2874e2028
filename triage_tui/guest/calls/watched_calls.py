"""Observe nothing but the calls that are notified: the guest runs at the emulator's own speed.

The emulator keeps no log of calls then. A record is made where a call is held, from the thread's registers,
and has a result only where the supervisor gave it one. What a guest does between two watched calls shows only
in what the kernel counts for its threads.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping

from triage_tui.errors import TriageError
from triage_tui.guest.calls.undecided import PATH_ARGUMENT, UndecidedCalls
from triage_tui.guest.cell import policy
from triage_tui.guest.host import host_syscalls, process
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.logged_items import LoggedCall
from triage_tui.guest.log.syscall_record import to_text
from triage_tui.guest.log.thread_log import ThreadLog
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.runs.model import Syscall

_LOOK_S = 0.1
_HOST_NAMES = host_syscalls.names()
_SIGNALLING = frozenset(("kill", "tkill", "tgkill"))
_CLONE_THREAD = 0x10000
NOT_OBSERVED = (
    (
        "syscalls that are not watched",
        "this run observed only the calls that rules may hook (--observe watched)",
    ),
    ("results of syscalls", "with --observe watched only those are known that containment or a rule gave"),
    (
        "loops of calls that are not watched, delivered signals",
        "nothing is logged with --observe watched: loops are found among watched calls",
    ),
)
"""What a run record lacks: (what, why)."""


_O32_ARCHES = frozenset(("mips", "mipsel"))
_O32 = (
    (
        "syscalls with numbers behind the end of the emulator's table for o32",
        "QEMU answers them with ENOSYS before it logs anything",
    ),
)
"""What it lacks of programs for `_O32_ARCHES` (EXCP_SYSCALL of linux-user/mips/cpu_loop.c)."""


def _makes_thread(log: ThreadLog, call: LoggedCall) -> bool:
    """Return whether a call, with its arguments as numbers, is a clone that makes a thread."""
    # The flags come second on s390x (CONFIG_CLONE_BACKWARDS2).
    flags = call.arguments.split(b",")[1 if log.arch.name == "s390x" else 0]
    return call.name == "clone" and bool(int(flags, 0) & _CLONE_THREAD)


class WatchedCalls(UndecidedCalls):
    """The part of a guest that makes records of held calls without a log."""

    _counted: tuple[int, ...]
    """What the kernel counted for the guest's threads when it was looked at last."""
    _counted_at: float
    _bytes_read: dict[int, int]
    """Host pid -> bytes that it had read when it seemed to go round in circles last."""

    @property
    def observes_all(self) -> bool:
        """Whether every call is observed, not only those that are notified."""
        return self.spec.observe == "full"

    def _answer(self, notification: Notification, result: int) -> None:
        if not self.observes_all and (log := self.trace.logs.get(notification.tid)) is not None:
            number = log.arch.errno_number(errno.errorcode.get(-result, "")) if -4095 <= result < 0 else None
            text = b"%d" % result if number is None else b"-1 errno=%d" % number
            self.trace.end_watched(log, text)
        super()._answer(notification, result)

    def _open_log(self, known: GuestProcess, notification: Notification) -> None:
        log = self.trace.logs.get(notification.tid)
        if self.observes_all or log is None:
            super()._open_log(known, notification)
            return
        # Its calls are recorded already; the emulator's opening is no answer to the last of them.
        self._put_log(log, notification)
        super()._answer(notification, log.number)

    def _forget_ended(self, pid: int) -> None:
        """Let go of the logs of threads that ended without closing one, since none was ever opened."""
        living = set(process.threads(pid))
        for log in self.trace.of_process(pid):
            if log.tid not in living:
                self.trace.forget(log.tid)

    def _begin_watched(
        self, known: GuestProcess, notification: Notification, name: str | None
    ) -> Syscall | None:
        """Return the record of the call that a held thread is in; None when the emulator makes it for itself.

        `name` is the host call, None for a piece of the emulator's log.
        """
        tid = notification.tid
        if name is not None and tid not in known.envs:
            self._find_env(known, notification, name)
        log = self.trace.logs.get(tid)
        if log is None:
            if known.envs.get(tid) is None:
                # A thread of the emulator's own.
                return None
            # The emulator opens a log when it has something to write, which may be never.
            self._forget_ended(known.pid)
            log = self._add_log(known, tid)
            if log is None:
                return None
        call = self._call_in_registers(tid, log)
        if call is None or (name is not None and name not in policy.host_names(call.name)):
            return None
        wanted = [argument & 0xFFFFFFFF for argument in notification.args[:2]]
        if (
            name in _SIGNALLING
            and [int(text, 0) & 0xFFFFFFFF for text in call.arguments.split(b",")[:2]] != wanted
        ):
            # The registers are those of an earlier call: it is the emulator that ends the guest.
            return None
        if name == "clone" and _makes_thread(log, call) != bool(notification.args[0] & _CLONE_THREAD):
            # A forked child begins with a thread of the emulator's own, and with its parent's registers.
            return None
        return self.trace.begin_watched(log, call)

    def _call_in_registers(self, tid: int, log: ThreadLog) -> LoggedCall | None:
        try:
            registers = self.call_registers(tid)
        except TriageError:
            return None
        return self._call_with(registers, tid, log)

    def _call_with(self, registers: Mapping[str, int], tid: int, log: ThreadLog) -> LoggedCall | None:
        number = log.arch.syscall_in(registers)
        name = log.arch.syscall_name(number)
        known = self.processes_known.of_thread(tid)
        if name is None or known is None:
            return None
        values = [registers[register] for register in log.arch.syscall_args][:6]
        return LoggedCall(known.inner, name, ",".join(f"{value:#x}" for value in values).encode())

    def _pass_on(self, notification: Notification, name: str) -> bool:
        """Let the call go on when that is all there is to do; its record is made while the guest goes on."""
        if self.observes_all:
            return super()._pass_on(notification, name)
        undecided = self._undecided(notification, name)
        if undecided is None or self._suspicion is not None:
            return False
        known, log, env = undecided
        tid, path = notification.tid, None
        try:
            registers = self.registers_at(tid, env, composed=False)
            call = self._call_with(registers, tid, log)
            if call is None or name not in policy.host_names(call.name):
                return False
            number = log.arch.syscall_in(registers)
            arguments = self.raw_arguments(number, call.name, tid, registers)
            if name in PATH_ARGUMENT:
                path = to_text(known.memory.read_string(tid, notification.args[PATH_ARGUMENT[name]]))
        except (TriageError, OSError):
            return False
        self._proceed(notification)
        record = self.trace.begin_watched(log, call)
        record.host, record.args = name, arguments
        record.pc = registers.get(log.arch.pc)
        record.return_address = registers.get(log.arch.lr) if log.arch.lr else None
        record.path = path or record.path
        return True

    def _look_at_threads(self) -> None:
        """Find out whether the guest is doing anything, from what the kernel counts for it."""
        now = time.monotonic()
        if self.observes_all or now - self._counted_at < _LOOK_S:
            return
        self._counted_at = now
        counted: list[int] = []
        for pid in self.processes():
            for tid in process.threads(pid):
                counted += process.progress(pid, tid)
        if tuple(counted) == self._counted:
            self._find_blocked()
        else:
            self._counted = tuple(counted)
            self.trace.last_activity = now

    def _find_blocked(self) -> None:
        """Make a record of each call that a thread of the guest is blocked in."""
        if self.observes_all:
            return
        for tid, log in list(self.trace.logs.items()):
            state = process.thread_state(log.pid, tid)
            host = (
                _HOST_NAMES.get(state.syscall, "") if state is not None and state.syscall is not None else ""
            )
            call = self._call_in_registers(tid, log)
            pending = self.trace.pending(log)
            if call is None or host not in policy.host_names(call.name):
                self.trace.end_watched(log, None)
            elif not pending or pending[-1].name != call.name:
                self.trace.begin_watched(log, call)

    def _has_read(self, pid: int) -> bool:
        """Return whether a process has read anything since it seemed to go round in circles last."""
        read = process.bytes_read(pid)
        before, self._bytes_read[pid] = self._bytes_read.get(pid), read
        return before is None or read != before

    def not_observed(self) -> tuple[tuple[str, str], ...]:
        """Return what the run record will lack, and why."""
        forged = tuple(
            (
                f"whether process {pid} made the calls that the trace has of it",
                "it wrote to a descriptor of its emulator, which may be its log",
            )
            for pid in sorted(self._forgers)
        )
        if not self.observes_all:
            return forged + NOT_OBSERVED
        if passed_over := self.trace.passed_over:
            why = "they were made faster than they can be read: all counts of calls are lower bounds"
            forged += ((f"the calls in {passed_over} bytes of the emulator's log", why),)
        running = {known.program.arch.name for known in self.processes_known.by_pid.values()}
        return forged + (_O32 if _O32_ARCHES & {self.first_program.arch.name, *running} else ())
