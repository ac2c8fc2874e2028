"""Decide about each notified call: whose it is, whether it stops the guest, who answers it."""

from __future__ import annotations

import errno
import time

from triage_tui.guest.calls.call_details import CallDetails
from triage_tui.guest.calls.giving_up import GivingUp
from triage_tui.guest.calls.held_call import Held
from triage_tui.guest.calls.limit_calls import LimitCalls
from triage_tui.guest.calls.process_ends import ProcessEnds
from triage_tui.guest.cell import child_stops, identity, limits, own_descriptors, policy, run_limits
from triage_tui.guest.emulator.return_stub import MARKER_ARGUMENT, MARKER_CALL, MARKER_WHENCE
from triage_tui.guest.freezing.loops import LoopDetector, Sleepers
from triage_tui.guest.freezing.stops import Stop, chosen_stop, loop_stop
from triage_tui.guest.freezing.suspicion import Suspicion
from triage_tui.guest.host import host_memory
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.logged_items import LoggedSignal
from triage_tui.guest.log.result_text import parse_failure
from triage_tui.guest.log.thread_log import ThreadLog
from triage_tui.guest.processes.process_limit import ProcessLimit
from triage_tui.guest.processes.process_table import GuestProcess, Program
from triage_tui.guest.processes.program_keeper import ProgramKeeper
from triage_tui.rulehost.protocol import RuleCaller
from triage_tui.runs.model import Syscall

_KILLS = frozenset(("kill", "tkill", "tgkill"))
_ENDS = frozenset(("exit", "exit_group"))
_TURNING_POINTS = policy.FORKS | _KILLS | _ENDS | policy.EXECUTIONS
"""Calls at which everything before them has to be known."""
_OWN_DESCRIPTOR = "refused by containment: a descriptor of the emulator"
_OLD_NS = 100_000_000
"""A loop in text that is older may be over."""


class CallHandler(CallDetails, ProcessEnds, LimitCalls, GivingUp, ProgramKeeper):
    """The part of a guest that handles notifications."""

    _frozen: bool
    _looping_tid: int
    """The thread whose loop is the reason of `_first_stop`, 0 for none."""
    _sleepers: Sleepers
    _held_seq: int
    """Number of the call that was frozen at its return last."""
    _process_limit: ProcessLimit

    # ------------------------------------------------------------ what the log says

    def _on_finished(self, log: ThreadLog, record: Syscall) -> None:
        if record.errno is not None:
            limit = self.spec.limits.processes
            why = policy.why_denied(record) or policy.why_no_child(record, limit)
            if why := why or run_limits.why_limited(record, log.pid, self.spec.limits.disk_bytes):
                record.note = f"{why}; {record.note}" if record.note else why
        slept = self._sleepers.note(record)
        known = self.processes_known.by_pid.get(log.pid)
        if known is None:
            return
        if self._first_stop is not None or self._frozen:
            if log.tid == self._looping_tid and log.tid in known.loops:
                known.loops[log.tid].add(record, slept)
            return
        if self._chosen and self._is_chosen(record, record.errno) and record.seq != self._held_seq:
            # Its failure was not seen being written: it was of a kind that QEMU has no text for.
            self._first_stop = chosen_stop(record, record.errno)
            return
        if self._chosen and self.observes_all and record.host is None and self._is_awaited(record):
            # No call of the host showed it, so that it could not be stopped in front of.
            self._first_stop = chosen_stop(record, None, is_over=True)
            return
        if log.tid not in known.loops:
            known.loops[log.tid] = LoopDetector(self.spec.triggers)
        loop = known.loops[log.tid].add(record, slept)
        if loop is None:
            return
        if not self.observes_all and self._has_read(log.pid):
            # What it reads may be new to it.
            known.loops[log.tid].reset()
        elif time.monotonic_ns() - self.trace.now_ns > _OLD_NS and not log.suspected:
            log.suspected = True
            known.loops[log.tid].reset()
            self.trace.skip(log)
        else:
            self._suspect(loop_stop(loop, record.pid), log.tid, known.loops[log.tid])

    def _suspect(self, stop: Stop, tid: int = 0, loop: LoopDetector | None = None) -> None:
        """Take note of a loop or an idle state."""
        raise NotImplementedError

    def _believe(self, suspicion: Suspicion) -> None:
        """Freeze the guest for what was suspected."""
        raise NotImplementedError

    def _is_chosen(self, call: Syscall, errno: str | None) -> bool:
        return any(trigger.fails(call, errno) for trigger in self._chosen)

    def _on_gap(self, log: ThreadLog, calls: int) -> None:
        known = self.processes_known.by_pid.get(log.pid)
        if known is not None and log.tid in known.loops:
            known.loops[log.tid].note_gap(calls)

    def _on_forgery(self, log: ThreadLog) -> None:
        pid = process_inner(self.processes_known.by_pid.get(log.pid))
        if pid not in self._forgers and log.arch.name not in self._places:
            self._forgers.add(pid)
            self.report(
                f"process {pid} writes to a descriptor of its emulator, which may be its log: "
                "what the record says of its calls may be of its own making"
            )

    def _on_signal(self, log: ThreadLog, item: LoggedSignal) -> None:
        for record in reversed(self.trace.history):
            if record.pid == process_inner(self.processes_known.by_pid.get(log.pid)):
                text = f"then {item.name} was delivered"
                record.note = f"{record.note}; {text}" if record.note else text
                return

    # ------------------------------------------------------------ one notification

    def _handle(self, notification: Notification, name: str) -> None:
        """Answer the notification, or keep it in `_held`."""
        self._held_registers = None
        if name in self._passed_on and self._pass_on(notification, name):
            return
        if self._is_mere_log(notification, name):
            self._proceed(notification)
            return
        known = self._process_of(notification)
        if known is None:
            # It is gone; were it not, nothing might be executed for a process that nobody knows.
            self._answer(notification, -errno.EPERM)
            return
        if name == "set_robust_list":
            self._proceed(notification)
            return
        if known.program.name and notification.tid == known.pid and self._name_process(known, notification):
            return
        # What is decided from here on is about this process: its architecture, its memory.
        self.pid, self.tid = known.pid, notification.tid
        spared = self._spare_descriptors(notification, name)
        if spared is None:
            return
        notification = spared
        if name == MARKER_CALL and notification.args[MARKER_ARGUMENT] & 0xFFFFFFFF == MARKER_WHENCE:
            self._on_marker(known, notification)
            return
        if self._writes_log(notification, name):
            if not self.observes_all and self.rules is not None:
                self._begin_watched(known, notification, None)
            if not self._on_logged_failure(known, notification):
                self._on_log_write(known, notification)
            return
        if self._emulator_start.is_log_open(notification.tid, name, notification):
            self._open_log(known, notification)
            return
        log = self.trace.logs.get(notification.tid)
        may_stop = self._may_stop()
        if log is not None and (may_stop or name in _TURNING_POINTS):
            # It may be what the guest is frozen at: everything before it is taken in first.
            if may_stop:
                self.trace.drain(log, complete=True)
            else:
                self.trace.catch_up(log)
        call = self._match(log, name) if self.observes_all else self._begin_watched(known, notification, name)
        if call is not None and notification.tid not in known.envs:
            self._find_env(known, notification, name, call)
        if self._guard_descriptors(known, notification, name, call):
            return
        if call is not None:
            self._complete(call, notification, name)
        if name == child_stops.CALL:
            child_stops.hide(notification)
        if name in policy.FORKS:
            self._note_fork(known, notification, name)
        elif name in _ENDS:
            # Before it stops the guest: what a rule answers is no end.
            if self._ask_rules(known, notification, call) or self._on_exit(known, notification, name, call):
                return
        elif name in _KILLS and call is None and self._on_fatal_signal(known, notification, name):
            return
        suspicion = self._suspicion
        if suspicion is not None and call is not None and suspicion.is_due_in(notification.tid):
            self._believe(suspicion)
        # A loop is held in the thread that loops; any other goes on until all are stopped.
        if self._first_stop is not None and call is not None and notification.tid == self._looping_tid:
            self._hold(Held(notification, known, name, call))
            return
        if call is not None and self._first_stop is None and self._is_awaited(call):
            self._first_stop = chosen_stop(call, None)
            self._hold(Held(notification, known, name, call))
            return
        self._decide(known, notification, name, call, asked=name in _ENDS)
        if name == "exit" and notification.tid != known.pid:
            # The emulator closes the logs of some threads only: of those that it made for itself.
            self.trace.forget(notification.tid)
            # Its id may soon be that of another process's thread, of which something else is decided.
            self.processes_known.forget_thread(notification.tid)

    def _is_awaited(self, call: Syscall) -> bool:
        """Tell whether a person chose to stop in front of `call`."""
        return any(
            not trigger.errno and trigger.names(call.name) and trigger.is_about(call)
            for trigger in self._chosen
        )

    def _on_logged_failure(self, known: GuestProcess, notification: Notification) -> bool:
        """Freeze the guest when the failure that is being logged was chosen; False for any other log entry.

        The call has been executed, and the guest does not have its result yet.
        """
        log = self.trace.logs.get(notification.tid)
        if not self._chosen or log is None or self._first_stop is not None:
            return False
        text = host_memory.read_memory(notification.tid, notification.args[1], notification.args[2] & 0xFFFF)
        failure = parse_failure(text)
        if failure is None:
            return False
        call = next(iter(self.trace.in_result(log)[-1:]), None)
        name = self.program_of(notification.tid).arch.errno_name(failure)
        if call is None or not self._is_chosen(call, name):
            return False
        call.ret, call.errno = -failure, name
        self._held_seq = call.seq
        self.fill_arguments(call, notification.tid)
        self._first_stop = chosen_stop(call, name)
        self._hold(Held(notification, known, "write", call, is_logged=True))
        return True

    def _resume_held(self, held: Held) -> None:
        """Decide about the call at which the guest was frozen."""
        self._held_registers = None
        if not self._carrier.is_waiting(held.notification):
            return
        self.pid, self.tid = held.process.pid, held.notification.tid
        try:
            if held.go_on is not None:
                if not held.go_on():
                    self._decide(held.process, held.notification, held.name, held.call, asked=True)
            elif held.is_logged:
                self._on_log_write(held.process, held.notification)
            else:
                asked = held.name in _ENDS and held.rules is self.rules
                self._decide(held.process, held.notification, held.name, held.call, asked)
                if held.call is not None and held.call.intercepted:
                    held.process.exiting = False
        except Exception as error:
            self._on_fault(held.notification, held.name, error)

    def _match(self, log: ThreadLog | None, name: str) -> Syscall | None:
        """Return the guest's call behind a host call, None when the emulator makes it for itself."""
        call = self.trace.current(log) if log is not None else None
        return call if call is not None and name in policy.host_names(call.name) else None

    def _start_afresh(self, known: GuestProcess, program: Program) -> None:
        for log in self.trace.of_process(known.pid):
            self._held_returns.pop(log.tid, None)
            self._repeated.pop(log.tid, None)
            self._making.discard(log.tid)
        super()._start_afresh(known, program)

    # ------------------------------------------------------------ answering

    def _ask_rules(self, known: GuestProcess, notification: Notification, call: Syscall | None) -> bool:
        """Ask the rules that hook a call, if any; True when it is answered."""
        rules = self.rules
        if rules is None or call is None or not self.is_hooked(call):
            return False
        return self._ask_before(rules, known, notification, call)

    def _decide(
        self,
        known: GuestProcess,
        notification: Notification,
        name: str,
        call: Syscall | None,
        asked: bool = False,
    ) -> None:
        """Answer a call: by a rule, which executes nothing, else by containment; the rest is executed.

        `asked`: no rule answers it.
        """
        if not asked and self._ask_rules(known, notification, call):
            return
        if self.rules is not None and call is None and not self.rules.sees_all:
            self._note_unasked(self.rules, notification, name)
        # After the rules: what they pass, and what they changed, is judged like anything else.
        refusal = self._refusal(known, notification, name, call)
        if refusal is not None:
            self._refuse(refusal, notification, call)
            return
        if self._cell.single_id and call is not None and name in identity.CALLS:
            tid = notification.tid
            result = known.identity.answer(
                name,
                notification.args,
                lambda address, size: host_memory.read_memory(tid, address, size),
                lambda address, data: host_memory.write_memory(tid, address, data),
            )
            if result is not None:
                call.note = "answered as for a real root: only one user id exists here"
                self._answer(notification, result)
                return
        if name in limits.CALLS and self._answer_limits(known, notification, name, call):
            return
        result = self.peers.answers_netlink(name, notification, known.pid)
        if result is not None:
            self._answer(notification, result)
        elif name in policy.EXECUTIONS:
            self._execute(known, notification, name, call)
        elif name in policy.FORKS and not self._process_limit.admits(notification.tid, self.processes):
            self._answer(notification, -errno.EAGAIN)
        else:
            self._proceed(notification)

    def _note_unasked(self, rules: RuleCaller, notification: Notification, name: str) -> None:
        """Report that rules were not asked of a call that is the guest's by its registers, not by its log."""
        log = self.trace.logs.get(notification.tid)
        hooked = {hook for hook in rules.hooks() if name in policy.host_names(hook)}
        if log is None or not hooked or name in _KILLS or name in policy.FORKS:
            return
        call = self._call_in_registers(notification.tid, log)
        if call is not None and call.name in hooked:
            text = f"no rule was asked about a {call.name}: the emulator's log does not tell of it"
            if text not in self.problems:
                self.report(text)

    def _refuse(self, refusal: policy.Refusal, notification: Notification, call: Syscall | None) -> None:
        if call is None:
            # The emulator may reach the same thing by another host call than its name says.
            log = self.trace.logs.get(notification.tid)
            pending = self.trace.pending(log) if log is not None else []
            call = pending[-1] if pending else None
        if call is not None and refusal.why:
            call.note = refusal.why
        self._answer(notification, refusal.result)

    def _refusal(
        self, known: GuestProcess, notification: Notification, name: str, call: Syscall | None
    ) -> policy.Refusal | None:
        if name in policy.EXECUTIONS:
            return self._judge_execution(known, notification, name)
        # By the host call alone: what the log says of it may be the guest's own words. The emulator ends
        # itself by a signal to its own process, which is never the cell's first.
        first = self._first_own_fd
        if number := own_descriptors.refusal(name, notification, first):
            # A number of which there is none would have given the same.
            is_own = number != errno.EBADF or own_descriptors.are_open(name, notification, first)
            return policy.Refusal(-number, _OWN_DESCRIPTOR if is_own else "")
        return self.containment.judge(name, notification)


def process_inner(known: GuestProcess | None) -> int:
    """Return the id by which the guest knows a process, -1 for an unknown one."""
    return known.inner if known is not None else -1
