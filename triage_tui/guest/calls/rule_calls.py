"""Ask the rules about a call, before it and after it, and do what they answer.

A call reaches the rules at its host system call, or, where QEMU answers it by itself, at QEMU's log entry
about that (see `served_calls`). There a rule may give the result at once, or change arguments, or ask to see
the result: the last two, and every answer to a call that QEMU has answered already, take effect where the
call ends (see `returns`).
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.calls import restarts
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.calls.call_context import CallContext
from triage_tui.guest.calls.held_call import Held
from triage_tui.guest.calls.returns import ONE_WAY, HeldReturn, ReturnKeeper
from triage_tui.guest.calls.served_calls import read_piece
from triage_tui.guest.calls.stand_ins import Peers
from triage_tui.guest.cell.policy import EXECUTIONS
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.syscall_record import to_text
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.rulehost.protocol import (
    Answer,
    AskPerson,
    EndProcess,
    GuestCall,
    MakeCall,
    RuleCaller,
    StartAgain,
    Wish,
)
from triage_tui.runs.model import Syscall

_LONGEST_PIECE = 64


class Repeated(msgspec.Struct):
    """A call that the guest makes again because a rule changed its arguments, or a signal came."""

    call: Syscall
    wants_return: bool


class RuleAsker(ReturnKeeper):
    """The part of a guest that asks the rules."""

    rules: RuleCaller | None
    access: RuleAccess
    peers: Peers
    rule_log: list[str]
    """What rules logged, untrusted text, oldest first."""
    _waiting: Notification | None
    """The notification that is being handled."""
    _started_by_rule: Notification | None
    """The execution whose program a rule starts although the run refuses it."""
    _repeated: dict[int, Repeated]
    """Host tid -> the call that it makes again."""

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

    # ------------------------------------------------------------ rules that wait in the middle

    def _begin_wish(
        self,
        rules: RuleCaller,
        known: GuestProcess,
        notification: Notification,
        call: Syscall,
        answer: Answer,
        context: CallContext,
        served: bool,
    ) -> bool:
        """Do what a rule wishes for before a call takes effect; True when the notification is answered."""
        tid = notification.tid

        def decided(later: Answer) -> bool:
            return self._do_as_told(rules, known, notification, call, later, context, served)

        if isinstance(answer.wish, AskPerson):
            self._freeze_at(Held(notification, known, call.host or "", call), answer, context, decided)
            return True

        if not served and self._is_same(call, answer.wish):
            # It is let through, and its end is where the rule goes on.
            def at_end(at_return: Notification, held: HeldReturn, result: int) -> None:
                self.pid, self.tid = known.pid, at_return.tid
                context = self._context(at_return, call, is_over=True, held=held)
                self._fulfil(known, at_return, held, self._go_on(context, answer, result), None)

            with contextlib.suppress(TriageError):
                self.hold_return(known, tid, call, at_end)
                return False

        def at_marker(at_return: Notification, held: HeldReturn, _result: int) -> None:
            self._fulfil(known, at_return, held, answer, None)

        try:
            self.hold_return(known, tid, call, at_marker, repeats=True, answered=not served)
        except TriageError as error:
            self._report_unless_killed(f"a rule's wish at {call.name} was not done: {error}")
            return decided(self._go_on(context, answer, -self._enosys))
        if served:
            return False
        # The kernel does not see the call; what is answered here is dropped.
        self._answer(notification, -errno.EINVAL)
        return True

    def _is_same(self, call: Syscall, wish: Wish | None) -> bool:
        """Return whether a rule wants the very call made of which it is asked."""
        if not isinstance(wish, MakeCall) or call.num != wish.number:
            return False
        mask = self.arch.word_mask
        return bool(call.args) and all(
            own & mask == other & mask for own, other in zip(call.args, wish.args, strict=False)
        )

    def _fulfil(
        self,
        known: GuestProcess,
        notification: Notification,
        held: HeldReturn,
        answer: Answer,
        real: int | None,
    ) -> None:
        """Do what a rule wishes for while its thread waits at a marker behind the call `held`, then end that.

        `real` is what the call gave; None: it has not been made.
        """
        call = held.call
        self.pid, self.tid = known.pid, notification.tid
        context = self._context(notification, call, is_over=True, held=held, result=real)

        def ended(at_marker: Notification, _held: HeldReturn, result: int) -> None:
            self.pid, self.tid = known.pid, at_marker.tid
            now = self._context(at_marker, call, is_over=True, held=held, result=real)
            self._fulfil(known, at_marker, held, self._go_on(now, answer, result), real)

        while answer.wish is not None:
            if isinstance(answer.wish, AskPerson):
                asked = answer

                def decided(later: Answer) -> bool:
                    self._fulfil(known, notification, held, later, real)
                    return True

                self._freeze_at(Held(notification, known, call.host or "", call), asked, context, decided)
                return
            try:
                number, arguments = self._as_call(known, held, answer.wish)
                self.make_call(notification, held, number, arguments, ended)
            except TriageError as error:
                self._report_unless_killed(f"a rule's wish at {call.name} was not done: {error}")
                answer = self._go_on(context, answer, -self._enosys)
            else:
                return
        if answer.intercept or real is not None:
            call.intercepted = call.intercepted or answer.intercept
            self.end_made(notification, held, answer.ret if answer.intercept else real or 0, real)
            return
        self._repeated[notification.tid] = Repeated(call, answer.after)
        self.repeat_call(notification, held, {})

    @property
    def _enosys(self) -> int:
        return self.arch.errno_number("ENOSYS") or errno.ENOSYS

    def _as_call(self, known: GuestProcess, held: HeldReturn, wish: Wish) -> tuple[int, tuple[int, ...]]:
        """Return the call of the guest that does what a rule wishes for: number and arguments.

        Raises:
            TriageError: there is none.
        """
        arch = known.program.arch
        if isinstance(wish, MakeCall):
            name = arch.syscall_name(wish.number)
            if name is None or name in ONE_WAY:
                raise TriageError(f"{name or wish.number} cannot be made for a rule")
            return wish.number, wish.args
        if isinstance(wish, EndProcess):
            return arch.syscall_nr("exit_group") or 0, (wish.code,)
        if isinstance(wish, StartAgain):
            return restarts.execution(self, known, held.registers, wish.variables)
        raise TriageError("nothing is known that would do it")

    def _freeze_at(
        self, held: Held, answer: Answer, context: CallContext, decided: Callable[[Answer], bool]
    ) -> None:
        """Have the guest frozen where a rule asks for a person; go on with the rule when it goes on."""
        wish = answer.wish
        why = wish.why if isinstance(wish, AskPerson) else ""

        def go_on() -> bool:
            return decided(self._go_on(context, answer, 1))

        held.go_on = go_on
        self.freeze_for(why, held)

    def freeze_for(self, why: str, held: Held | None = None) -> None:
        """Have the guest frozen because a rule asks for a person, at a held call if there is one."""
        raise NotImplementedError

    def _go_on(self, context: CallContext, answer: Answer, result: int) -> Answer:
        """Tell a rule that waits what came of its wish; return what it says then."""
        assert answer.go_on is not None
        self.access.current = context
        try:
            later = answer.go_on(result)
        finally:
            self.access.current = None
        self.note_rule_log(later)
        return later

    def note_rule_log(self, answer: Answer) -> None:
        """Keep what an answer says besides the decision."""
        if answer.error:
            self.report(answer.error)
        self.rule_log += [to_text(line.encode("utf-8", "surrogateescape")) for line in answer.log]

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

    def _context(
        self,
        notification: Notification,
        call: Syscall | None,
        *,
        is_over: bool,
        in_host_call: bool = False,
        held: HeldReturn | None = None,
        result: int | None = None,
    ) -> CallContext:
        return CallContext(
            *(self, self._cell, self._carrier, notification, self.peers, in_host_call),
            may_change=not is_over,
            executes=call is not None and call.name in EXECUTIONS,
            registers=held.registers if held is not None else None,
            result=result,
        )

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

    def _report_unless_killed(self, problem: str) -> None:
        """Report what a rule's answer lacked; a thread that was killed meanwhile lacks nothing."""
        if self._waiting is None or self._carrier.is_waiting(self._waiting):
            self.report(problem)

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
