"""Do what rules wish for in the middle of a call: that another call is made, that a person is asked.

A rule that waits so is gone on with when that is done. Its thread is held meanwhile: at the call, before that
takes effect, or at a marker behind its end (see `returns`).
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.calls import restarts
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.calls.call_context import CallContext
from triage_tui.guest.calls.held_call import Held
from triage_tui.guest.calls.returns import ONE_WAY, HeldReturn, ReturnKeeper
from triage_tui.guest.calls.stand_ins import Peers
from triage_tui.guest.cell.policy import EXECUTIONS
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.syscall_record import to_text
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.rulehost.protocol import (
    Answer,
    AskPerson,
    EndProcess,
    MakeCall,
    RuleCaller,
    StartAgain,
    Wish,
)
from triage_tui.runs.model import Syscall


class Repeated(msgspec.Struct):
    """A call that the guest makes again because a rule changed its arguments, or a signal came."""

    call: Syscall
    wants_return: bool


class WishKeeper(ReturnKeeper):
    """The part of a guest that does what rules wish for while they wait."""

    access: RuleAccess
    peers: Peers
    rule_log: list[str]
    """What rules logged, untrusted text, oldest first."""
    _waiting: Notification | None
    """The notification that is being handled."""
    _repeated: dict[int, Repeated]
    """Host tid -> the call that it makes again."""

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
        raise NotImplementedError

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

    def _report_unless_killed(self, problem: str) -> None:
        """Report what a rule's answer lacked; a thread that was killed meanwhile lacks nothing."""
        if self._waiting is None or self._carrier.is_waiting(self._waiting):
            self.report(problem)
