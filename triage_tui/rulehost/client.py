"""The supervisor's side of the rule host: `RuleHost` answers hooked syscalls by the rules it was given.

One process holds all rules. Each rule is asked by a message of its own, so that a rule that never comes
back, or takes the process down, is known by name: the process is killed, the rule is switched off, and at
the next call a new process starts with the others. What the guest sees in the meantime is configuration
(`Limits.on_failure`); the run itself always goes on.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from types import TracebackType

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulehost import wire
from triage_tui.rulehost.process import HostDied, HostProcess, HostTooSlow
from triage_tui.rulehost.protocol import Answer, GuestAccess, GuestCall
from triage_tui.rulehost.rule_state import RuleState
from triage_tui.rulehost.service import EFFECTS, Service, signed_argument
from triage_tui.rulehost.sources import Limits, RuleSource
from triage_tui.runs.model import RuleHit

_EPERM = 1
_GENERIC_ENOSYS = 38
_ARGUMENTS = 8
_FIRST_INTERNAL, _LAST_ERROR = 512, 4095
"""From ERESTARTSYS of include/linux/errno.h on no error is for programs, but for EDQUOT of MIPS (1133)."""
_FIXED_STEP_NS = 1_000_000
_RESTARTS = 8


class _Outcome(msgspec.Struct):
    """What one call of one rule came to."""

    intercept: bool = False
    ret: int = 0
    acted: bool = False
    logged: bool = False
    failure: str | None = None


class RuleHost:
    """Implements `RuleCaller` with a separate process. Thread-safe; use as a context manager or `close()`."""

    def __init__(
        self,
        rules: list[RuleSource],
        access: GuestAccess,
        limits: Limits | None = None,
        clock_offset_ns: int | None = None,
    ) -> None:
        """Start the process and load the rules, in the order in which they are to be asked.

        `clock_offset_ns` is what the rules' clock adds to the monotonic one, None for the time of day. A rule
        that cannot be loaded is switched off and named in `hits()` and `log`, nothing is raised.

        Raises:
            TriageError: the process cannot be started at all.
        """
        self._limits = limits or Limits()
        self._access = access
        self._service = Service(access, self._limits)
        self._rules = [RuleState.of(source, self._limits) for source in rules]
        self._by_syscall: dict[str, list[int]] = {}
        for index, rule in enumerate(self._rules):
            for name in rule.source.syscalls:
                self._by_syscall.setdefault(name, []).append(index)
        self._lock = threading.Lock()
        self._process: HostProcess | None = None
        self._closed = False
        self._starts = 0
        self._runs = 0
        now = time.time_ns() - time.monotonic_ns()
        self.clock_offset_ns = now if clock_offset_ns is None else clock_offset_ns
        """What the rules' clock adds to the times of the run record."""
        self._lines_left = self._limits.log_lines_per_run
        self._enosys = access.errno_number("ENOSYS") or _GENERIC_ENOSYS
        self.log: list[str] = []
        """What rules wrote while they were loaded, and why rules were switched off; untrusted text."""
        for rule in self._rules:
            size = len(rule.source.source)
            if size > wire.MAX_SOURCE:
                why = f"its text is too long: {size} bytes, at most {wire.MAX_SOURCE} are allowed"
                self._switch_off(rule, why)
        with self._lock:
            self._started()

    def __enter__(self) -> RuleHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    sees_all = False

    def look(self) -> None:
        """Do nothing: rules are asked at calls only."""

    @property
    def pid(self) -> int | None:
        """Host pid of the process, None while there is none."""
        return self._process.pid if self._process else None

    def status(self) -> list[str]:
        """Say which Lua runs and what holds the process, one fact per line; "missing: ..." for the rest."""
        with self._lock:
            process = self._process
            if process is None:
                return ["the rule host is not running"]
            greeting = process.greeting
        return [greeting.lua, *greeting.guards, *(f"missing: {text}" for text in greeting.missing)]

    def hooks(self) -> set[str]:
        """Guest syscall names that some rule still wants to see."""
        wanting = (rule for rule in self._rules if rule.disabled is None or rule.is_closed)
        return {name for rule in wanting for name in rule.source.syscalls}

    def hits(self) -> list[RuleHit]:
        """How often each rule was asked and acted, what it cost, and why it was switched off if it was.

        In rule order. This is the one count of hits there is.
        """
        return [rule.record() for rule in self._rules]

    def call(self, call: GuestCall) -> Answer:
        """Ask the rules of this syscall in order; the first that intercepts wins.

        Never raises for a failing rule: it is named in `Answer.error`, and the next rule is asked.
        """
        answer = Answer()
        with self._lock:
            for index in self._by_syscall.get(call.name, ()):
                rule = self._rules[index]
                if rule.disabled is None and not rule.asks_before:
                    answer.after |= rule.wants_result(call.name)
                elif rule.disabled is None and rule.may_ask(time.monotonic()):
                    self._ask_rule(index, rule, call, answer)
                    answer.after |= rule.wants_result(call.name) and rule.disabled is None
                elif rule.is_closed:
                    answer.intercept, answer.ret, answer.rule = True, -_EPERM, rule.source.id
                if answer.intercept:
                    break
        return answer

    def returned(self, call: GuestCall, ret: int) -> Answer:
        """Show a call's result to the rules that define after_syscall, each what the one before made of it.

        Never raises for a failing rule: it is named in `Answer.error`, and the result stays as it was.
        """
        final = Answer()
        with self._lock:
            for index in self._by_syscall.get(call.name, ()):
                rule = self._rules[index]
                if rule.disabled is not None or not rule.wants_result(call.name):
                    continue
                if not rule.may_ask(time.monotonic()):
                    continue
                answer = Answer(log=final.log)
                self._ask_rule(index, rule, call, answer, ret)
                final.rule, final.error = answer.rule or final.rule, answer.error or final.error
                if answer.intercept:
                    final.intercept, final.ret, ret = True, answer.ret, answer.ret
        return final

    def close(self) -> None:
        """End the process; nothing of it is left. Calls after this pass every syscall. May be repeated."""
        with self._lock:
            self._closed = True
            self._end_process()

    # One rule

    def _ask_rule(
        self, index: int, rule: RuleState, call: GuestCall, answer: Answer, ret: int | None = None
    ) -> None:
        if not self._started() or rule.disabled is not None:
            # Loading in a new process may just have switched this rule off.
            outcome = _Outcome(failure=rule.disabled or "the rule host is not running")
        else:
            args = (*call.args, *([0] * _ARGUMENTS))[:_ARGUMENTS]
            word = self._access.word
            values = tuple(signed_argument(value, word) for value in args)
            name = call.name if rule.source.hooks else ""
            run = wire.Run(index, call.num, values, self._clock(call.ts_mono_ns), ret, name)
            self._runs += 1
            began = time.monotonic()
            outcome = self._exchange(rule, run, answer.log)
            rule.add_call(time.monotonic() - began)
        if outcome.failure is not None:
            answer.error = f"Rule {rule.source.id} failed on {call.name}: {outcome.failure}."
            if rule.limits.on_failure == "closed":
                outcome.intercept, outcome.ret = True, -_EPERM
        if outcome.acted or (outcome.intercept and outcome.failure is None):
            rule.matches += 1
            rule.add_hit()
        elif outcome.logged:
            rule.matches += 1
        if outcome.intercept or outcome.acted:
            answer.rule = rule.source.id
        answer.intercept, answer.ret = outcome.intercept, outcome.ret

    def _clock(self, ts_mono_ns: int) -> int:
        """Return what the rules' clock shows at a call of this time: CLOCK_REALTIME as the record has it."""
        if self._limits.fixed_clock:
            return self._runs * _FIXED_STEP_NS
        return self.clock_offset_ns + (ts_mono_ns or time.monotonic_ns())

    def _exchange(self, rule: RuleState, message: wire.Run | wire.Load, log: list[str]) -> _Outcome:
        """Send one message to the process and serve it until it is done. Kills the process on misuse."""
        process = self._process
        if process is None:
            return _Outcome(failure="the rule host is not running")
        outcome = _Outcome()
        try:
            done = self._converse(process, rule, message, log, outcome)
        except HostTooSlow:
            self._end_process()
            self._switch_off(rule, f"it took longer than {rule.limits.wall_seconds:g} seconds")
            outcome.failure = rule.disabled
        except HostDied as error:
            outside = process.killed_from_outside
            self._end_process()
            if outside:
                self._count_error(rule, "the rule host was killed from outside")
                outcome.failure = "the rule host was killed from outside"
            else:
                self._switch_off(rule, str(error))
                outcome.failure = rule.disabled
        except BaseException:
            # Ctrl-C: what the process says next is no answer to what it will be asked next.
            self._end_process()
            raise
        else:
            self._settle(rule, done, outcome)
            if isinstance(message, wire.Load):
                rule.asks_before, rule.asks_after = done.ret != 2, bool(done.ret & 2)
        return outcome

    def _converse(
        self,
        process: HostProcess,
        rule: RuleState,
        message: wire.Run | wire.Load,
        log: list[str],
        outcome: _Outcome,
    ) -> wire.Done:
        running = isinstance(message, wire.Run)
        deadline = time.monotonic() + rule.limits.wall_seconds
        process.come_near()
        process.send(message, deadline)
        latest = deadline + self._limits.asking_seconds
        requests = lines = 0
        while True:
            reply = process.receive(deadline)
            if isinstance(reply, wire.Done):
                return reply
            if isinstance(reply, wire.Log):
                lines += 1
                outcome.logged = True
                if lines > self._limits.log_lines:
                    raise HostDied("it wrote too many log lines")
                self._keep_line(reply.line, log)
            elif isinstance(reply, wire.Ask):
                requests += 1
                if requests > self._limits.requests:
                    raise HostDied("it asked the guest too often")
                before = time.monotonic()
                answer = self._service.serve(reply) if running else wire.Reply(-_EPERM)
                deadline += time.monotonic() - before
                if deadline > latest:
                    raise HostDied(
                        f"what it asked for took longer than {self._limits.asking_seconds:g} seconds"
                    )
                outcome.acted |= reply.method in EFFECTS and answer.rc >= 0
                if reply.method == "request_reexec" and answer.rc == 0:
                    rule.asked_restart = self._service.restart_tag
                process.send(answer, deadline)
            else:
                raise HostDied("it greeted twice")

    def _settle(self, rule: RuleState, done: wire.Done, outcome: _Outcome) -> None:
        problem = done.message[:500] or "no reason given"
        if done.kind == "":
            ret = signed_argument(done.ret, self._access.word) if done.intercept else 0
            if self._is_internal(ret):
                outcome.failure = f"it answered {ret}, which is no error number that a program can get"
                self._count_error(rule, outcome.failure)
            else:
                outcome.intercept, outcome.ret = done.intercept, ret
        elif done.kind == "error":
            outcome.failure = problem
            self._count_error(rule, problem)
        else:
            self._switch_off(rule, problem)
            outcome.failure = rule.disabled

    def _is_internal(self, ret: int) -> bool:
        """Return whether a result is an error number for use inside a kernel, or none at all.

        The emulator would take some for orders of its own: to make the call again, or to end a handler.
        """
        return -_LAST_ERROR <= ret <= -_FIRST_INTERNAL and -ret != self._access.errno_number("EDQUOT")

    def _keep_line(self, line: bytes, log: list[str]) -> None:
        if self._lines_left > 0:
            self._lines_left -= 1
            log.append(line[: self._limits.log_line_bytes].decode("utf-8", "backslashreplace"))

    def _count_error(self, rule: RuleState, problem: str) -> None:
        rule.errors += 1
        if rule.errors >= self._limits.errors:
            self._switch_off(rule, f"{rule.errors} errors, the last one: {problem}")

    def _switch_off(self, rule: RuleState, reason: str) -> None:
        if rule.disabled is None:
            rule.errors = max(rule.errors, 1)
            rule.disabled, rule.failed = reason, True
            self.log.append(f"rule {rule.source.id} switched off: {reason}")

    # The process

    def _started(self) -> bool:
        """Make sure that a process with all enabled rules runs; False when that is not possible."""
        if self._closed:
            return False
        if self._process is not None:
            if self._process.alive:
                self._process.renew_cpu_limit()
                return True
            self._end_process()  # it died between two calls: nobody's fault
        if self._starts and not self._may_restart():
            return False
        return self._start_and_load()

    def _may_restart(self) -> bool:
        failed = sum(rule.failed for rule in self._rules)
        return self._starts <= failed + _RESTARTS

    def _start_and_load(self) -> bool:
        first = self._starts == 0
        memory = sum(rule.limits.memory_bytes for rule in self._rules)
        # A rule that takes the process down while it is loaded is out; the others get a new process.
        while self._process is None and self._may_restart():
            self._starts += 1
            try:
                self._process = HostProcess(self._limits, enosys=self._enosys, rule_bytes=memory)
            except TriageError as error:
                if first:
                    raise
                self.log.append(str(error))
                return False
            self._load_all()
        return self._process is not None

    def _load_all(self) -> None:
        for index, rule in enumerate(self._rules):
            if rule.disabled is not None:
                continue
            source = rule.source
            load = wire.Load(
                index,
                source.id,
                source.syscall,
                os.fsencode(source.rules_dir),
                source.source,
                rule.limits.instructions,
                rule.limits.memory_bytes,
                self._clock(0),
            )
            outcome = self._exchange(rule, load, self.log)
            if self._process is None:
                return
            if outcome.failure is not None:
                self._switch_off(rule, outcome.failure)

    def _end_process(self) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.end()
            self._process = None
