"""Ask the rules about a call, before it and after it, and do what they answer.

A call reaches the rules at its host system call, or, where QEMU answers it by itself, at QEMU's log entry
about that (see `served_calls`). There a rule may give the result at once, or change arguments, or ask to see
the result: the last two, and every answer to a call that QEMU has answered already, take effect where the
call ends (see `returns`). What a rule wishes for in the middle of a call is in `rule_wishes`.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping

from triage_tui.errors import TriageError
from triage_tui.guest.calls.call_context import CallContext
from triage_tui.guest.calls.returns import HeldReturn
from triage_tui.guest.calls.rule_wishes import Repeated, WishKeeper
from triage_tui.guest.calls.served_calls import read_piece
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.rulehost.protocol import Answer, GuestCall, RuleCaller
from triage_tui.runs.model import Syscall

_LONGEST_PIECE = 64


class RuleAsker(WishKeeper):
    """The part of a guest that asks the rules."""

    rules: RuleCaller | None
    _started_by_rule: Notification | None
    """The execution whose program a rule starts although the run refuses it."""

    def fill_arguments(self, call: Syscall, tid: int) -> None:
        """Take the call's raw arguments from the registers of the thread that is in it."""
        raise NotImplementedError

    def raw_arguments(self, number: int, name: str, tid: int, registers: Mapping[str, int]) -> list[int]:
        """Return the arguments of the call `name` that a held thread with these registers is in."""
        raise NotImplementedError

    def is_hooked(self, call: Syscall) -> bool:
        """Return whether a rule wants to see this call. A call without a name has that of its number."""
        return self._hooked_name(call) is not None

    def _hooked_name(self, call: Syscall) -> str | None:
        if self.rules is None:
            return None
        hooks = self.rules.hooks()
        return next((name for name in (call.name, f"syscall_{call.num}") if name in hooks), None)

    def _ask_before(
        self,
        rules: RuleCaller,
        known: GuestProcess,
        notification: Notification,
        call: Syscall,
        served: bool = False,
    ) -> bool:
        """Ask the rules about a call before it takes effect; True when the notification is answered.

        `served`: QEMU is answering the call by itself; it can only get another end.
        """
        tid = notification.tid
        if tid in self._making:
            call.note = call.note or "made for a rule (c_do_syscall)"
            return False
        again = self._repeated.pop(tid, None)
        if again is not None and again.call is call:
            if again.wants_return:
                self._await_return(rules, known, notification, call)
            return False
        if rules.sees_all:
            # One call of the guest may be several of the host.
            log = self.trace.logs.get(tid)
            if log is not None and log.asked is call and not served:
                return False
            if log is not None:
                log.asked = call
        answer, context = self._ask(rules, known, notification, call, served=served)
        return self._do_as_told(rules, known, notification, call, answer, context, served)

    def _do_as_told(
        self,
        rules: RuleCaller,
        known: GuestProcess,
        notification: Notification,
        call: Syscall,
        answer: Answer,
        context: CallContext,
        served: bool,
    ) -> bool:
        """Do what the rules answered before a call takes effect; True when the notification is answered."""
        tid = notification.tid
        if answer.wish is not None:
            return self._begin_wish(rules, known, notification, call, answer, context, served)
        if context.starts:
            self._started_by_rule = notification
        if answer.intercept and call.name == "exit":
            # By now the emulator has taken down what it needs to go on with the thread.
            self.report("the rule's answer to exit had no effect: a thread does not go on after its end")
            return False
        if answer.intercept and not served:
            call.intercepted = True
            ret = answer.ret
            if context.written:
                self._write_again(known, tid, call, context.written)
            self._answer(notification, -self.arch.to_host(-ret) if -4095 <= ret < 0 else ret)
            return True
        if answer.intercept:
            self._replace_at_return(known, tid, call, answer.ret)
        elif context.changes:
            return self._change_arguments(known, notification, call, context.changes, answer.after, served)
        elif answer.after:
            self._await_return(rules, known, notification, call)
        return False

    @contextlib.contextmanager
    def between_calls(self) -> Iterator[None]:
        """Let rules look at the main process while it computes: at no call."""
        main = self.processes_known.main
        if main is None:
            yield
            return
        self.pid = self.tid = main.pid
        nowhere = Notification(0, main.pid, -1, (0,) * 6)
        self.access.current = self._context(nowhere, None, is_over=True)
        try:
            yield
        finally:
            self.access.current = None

    # ------------------------------------------------------------ what rules answer

    def _write_again(
        self, known: GuestProcess, tid: int, call: Syscall, written: list[tuple[int, bytes]]
    ) -> None:
        """Repeat at the end of an answered call what a rule wrote to the guest's memory.

        QEMU fills the guest's structures from those of the host, which the answered call left as they were.
        """

        def finish(notification: Notification, held: HeldReturn, result: int) -> None:
            with contextlib.suppress(TriageError):
                for address, data in written:
                    self.write_memory(address, data)
            self.end_call(notification, held, result)

        # Where the end cannot be held, the buffers that QEMU does not convert are right all the same.
        with contextlib.suppress(TriageError):
            self.hold_return(known, tid, call, finish)

    def _replace_at_return(self, known: GuestProcess, tid: int, call: Syscall, ret: int) -> None:
        def finish(notification: Notification, held: HeldReturn, _result: int) -> None:
            call.intercepted = True
            self.end_call(notification, held, ret)

        try:
            self.hold_return(known, tid, call, finish)
        except TriageError as error:
            self._report_unless_killed(f"the rule's answer to {call.name} had no effect: {error}")

    def _await_return(
        self, rules: RuleCaller, known: GuestProcess, notification: Notification, call: Syscall
    ) -> None:
        def finish(at_return: Notification, held: HeldReturn, result: int) -> None:
            ret = result
            asked = self.rules
            if asked is not None:
                answer, _context = self._ask(asked, known, at_return, call, ret=result, held=held)
                if answer.wish is not None:
                    self._fulfil(known, at_return, held, answer, result)
                    return
                if answer.intercept:
                    call.intercepted = True
                    ret = answer.ret
            self.end_call(at_return, held, ret)

        try:
            self.hold_return(known, notification.tid, call, finish)
        except TriageError as error:
            self._report_unless_killed(f"no rule saw the result of {call.name}: {error}")

    def _change_arguments(
        self,
        known: GuestProcess,
        notification: Notification,
        call: Syscall,
        changes: dict[int, int],
        wants_return: bool,
        served: bool,
    ) -> bool:
        """Stop the call and have it made again with other arguments; True when it is answered."""
        tid = notification.tid

        def again(at_return: Notification, held: HeldReturn, _result: int) -> None:
            self._repeated[tid] = Repeated(call, wants_return)
            try:
                self.repeat_call(at_return, held, changes)
            except TriageError as error:
                self._report_unless_killed(f"arguments of {call.name} were not changed: {error}")
                self.repeat_call(at_return, held, {})

        try:
            self.hold_return(known, tid, call, again, repeats=True)
        except TriageError as error:
            self._report_unless_killed(f"arguments of {call.name} were not changed: {error}")
            return False
        shown = ", ".join(f"argument {index + 1} = {value:#x}" for index, value in sorted(changes.items()))
        call.note = f"a rule changed {shown}"
        for index, value in changes.items():
            if index < len(call.args):
                call.args[index] = value & self.arch.word_mask
        if served:
            return False
        # The kernel does not see the call as it was; what is answered here is dropped.
        self._answer(notification, -errno.EINVAL)
        return True

    def _after_restart(self, notification: Notification, held: HeldReturn) -> None:
        self._repeated[notification.tid] = Repeated(held.call, not held.repeats)
        super()._after_restart(notification, held)

    def _ask(
        self,
        rules: RuleCaller,
        known: GuestProcess,
        notification: Notification,
        call: Syscall,
        *,
        ret: int | None = None,
        served: bool = False,
        held: HeldReturn | None = None,
    ) -> tuple[Answer, CallContext]:
        """Ask the rules of one call; with `ret`, at its end `held`, those that want to see its result."""
        self.pid, self.tid = known.pid, notification.tid
        in_host_call = ret is None and not served
        context = self._context(
            notification, call, is_over=ret is not None, in_host_call=in_host_call, held=held, result=ret
        )
        self.access.current = context
        name = self._hooked_name(call) or call.name
        arguments = tuple(call.args)
        question = GuestCall(name, call.num, arguments, known.pid, notification.tid, call.ts_mono_ns)
        try:
            answer = rules.call(question) if ret is None else rules.returned(question, ret)
        finally:
            self.access.current = None
        if answer.rule is not None:
            call.rule = answer.rule
        self.note_rule_log(answer)
        return answer, context

    # ------------------------------------------------------------ calls that QEMU answers by itself

    def _on_log_write(self, known: GuestProcess, notification: Notification) -> None:
        """Handle a piece of the log that may say that QEMU is answering a call by itself."""
        try:
            if self.rules is not None:
                self._ask_served(self.rules, known, notification)
        finally:
            self._proceed(notification)

    def _ask_served(self, rules: RuleCaller, known: GuestProcess, notification: Notification) -> None:
        tid = notification.tid
        piece = known.memory.read(tid, notification.args[1], min(notification.args[2], _LONGEST_PIECE))
        served = read_piece(self.arch, piece)
        log = self.trace.logs.get(tid)
        if served is None or log is None:
            return
        if self._may_stop():
            call = next(iter(self.trace.in_result(log)[-1:]), None)
        else:
            call = self.trace.being_served(log)
        # A call that has reached the host was asked about there.
        if (
            call is None
            or call.host is not None
            or not (call.name in served.names or call.num == served.number)
        ):
            return
        if not self.is_hooked(call) or (log.asked is call and tid not in self._repeated):
            # The log tells of it twice.
            return
        log.asked = call
        if tid not in known.envs:
            self._find_env(known, notification, call.name, call)
        self.fill_arguments(call, tid)
        if not call.args:
            # The registers say otherwise: not this thread's own call.
            return
        self._ask_before(rules, known, notification, call, served=True)
