"""A whole rule directory of SFEmu as what the supervisor asks about calls: `DirectoryHost`.

Its `entry` is asked before each call that can be held, its `finish` after it, its `idle` when the guest
computes without a call. Each process of the guest has a Lua state of its own, in a process inside the guest's
cell; a fork copies it, an executed program begins with a new one. Nothing of the directory runs in this
process.

A hook may stop in the middle, because the guest's thread first has to make a call (c_do_syscall) or a person
has to say yes (c_wait_user_continue). Its conversation is a generator: it gives the wish, and is sent what
came of it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.calls.returns import ONE_WAY
from triage_tui.guest.host import process
from triage_tui.rulehost import wire
from triage_tui.rulehost.protocol import (
    Answer,
    AskPerson,
    EndProcess,
    GuestCall,
    MakeCall,
    StartAgain,
    Wish,
)
from triage_tui.rulehost.service import signed_argument
from triage_tui.runs.model import RuleHit
from triage_tui.sfemu.running import messages
from triage_tui.sfemu.running.accounts import Accounts
from triage_tui.sfemu.running.answers import Answers
from triage_tui.sfemu.running.connection import Broken, FirstProcess, LuaConnection, spawned
from triage_tui.sfemu.running.idle import IdleWatch
from triage_tui.sfemu.running.names import NAMED, seen_calls
from triage_tui.sfemu.running.opened import Opened
from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.guest.processes.process_table import Program
    from triage_tui.guest.supervisor import Guest

_ARGUMENTS = 8
_ENOSYS, _EIO, _EINVAL = 38, 5, 22
_HOOK_S = 10.0
"""Longest time that one hook may take, what it asks for not counted."""
_LOAD_S = 30.0
"""The same where its process begins, which loads its modules."""
_MOST_PROCESSES = 64
_FORKS = frozenset(("fork", "vfork", "clone", "clone3"))
_CLONE_THREAD = 0x10000
_RESTARTS = 3
"""SFEMU_REEXEC_MAX where it is not set."""

Conversation = Generator[Wish, int, Answer]


@dataclass(slots=True)
class _State:
    """The Lua of one process of the guest."""

    lua: LuaConnection
    program: Program | None
    inner: int
    """The process as the guest numbers it."""
    variables: dict[str, str] = field(default_factory=dict)
    busy: bool = False
    """One of its hooks waits for something."""
    used: bool = False
    """A hook was called."""


class DirectoryHost:
    """Implements `RuleCaller` with the Lua of a rule directory. For one thread; always `close()` it."""

    sees_all = True

    def __init__(self, opened: Opened, access: RuleAccess, *, asks_person: bool) -> None:
        """`access` is that of the guest; with `asks_person` a prompt freezes it, else nobody answers."""
        self._opened = opened
        self._access = access
        self._asks_person = asks_person
        self._answers = Answers(access, opened.book, opened.has_stack)
        self._names = set(seen_calls(opened.arch, opened.logs_calls))
        self._first: FirstProcess | None = None
        self._states: dict[int, _State] = {}
        self._forked: dict[int, list[_State]] = {}
        """Inner id of a process -> copies of its state for children that were not seen yet."""
        self._accounts = Accounts(opened.sha256)
        self._off = ""
        self._problem: str | None = None
        self._lines: list[str] = []
        self._lines_left = 20_000
        self._guest: Guest | None = None
        self._idle = IdleWatch(opened.idle_ms)
        self._idling: Conversation | None = None
        """An `idle` that waits for a person."""
        self.log: list[str] = []
        """What there is to say beside what the Lua logged; untrusted text."""
        self.clock_offset_ns = time.time_ns() - time.monotonic_ns()

    # ------------------------------------------------------------ what the supervisor asks

    def attach(self, guest: Guest) -> None:
        """Take note of the guest, which is looked at for idle states."""
        self._guest = guest

    def hooks(self) -> set[str]:
        """Guest syscall names that the hooks see."""
        return set() if self._off else self._names

    def hits(self) -> list[RuleHit]:
        """What the hooks did, by syscall."""
        return self._accounts.records(self._off)

    def call(self, call: GuestCall) -> Answer:
        """Have `entry` decide about a call. Never raises for what the Lua does."""
        return self._told(self._entry(call), None)

    def returned(self, call: GuestCall, ret: int) -> Answer:
        """Show `finish` the result of a call that was made."""
        return self._told(self._finish(call, ret, False), None)

    def look(self) -> None:
        """Call `idle` where the guest computes without a call, and go on where it was asked to wait."""
        guest = self._guest
        if guest is None or self._off:
            return
        if self._idling is not None:
            conversation, self._idling = self._idling, None
            self._serve_idle(guest, conversation, 1)
        elif not self._answers.suspended and (found := self._idle.look(guest)) is not None:
            state = self._states.get(found.pid)
            if state is not None and not state.busy and state.used:
                self._serve_idle(guest, self._idle_hook(state, found.message), None)

    def close(self) -> None:
        """End all processes. May be repeated; calls after this pass."""
        self._off = self._off or "it was closed"
        for state in [*self._states.values(), *(one for some in self._forked.values() for one in some)]:
            state.lua.end()
        self._states.clear()
        self._forked.clear()
        if self._first is not None:
            self._first.end()
            self._first = None

    # ------------------------------------------------------------ conversations

    def _told(self, conversation: Conversation, value: int | None) -> Answer:
        """Go on with a conversation up to its next wish or its end."""
        try:
            wish = next(conversation) if value is None else conversation.send(value)
        except StopIteration as end:
            answer: Answer = end.value
        else:
            answer = Answer(wish=wish, go_on=lambda result: self._told(conversation, result))
        answer.log, self._lines = self._lines, []
        answer.error, self._problem = self._problem, None
        return answer

    def _entry(self, call: GuestCall) -> Conversation:
        name = call.name
        state = self._state_of(call)
        if state is None or state.busy:
            self._accounts.skip(name)
            return Answer()
        arguments = self._arguments(call)
        shown = name if name in NAMED else None
        done = yield from self._asked(state, name, messages.Entry(shown, call.num, arguments, state.inner))
        if done.exits is not None:
            yield EndProcess(done.exits)
            return Answer()
        if done.again is not None and (variables := self._counted_restart(state, name, done.again)):
            state.variables |= variables
            yield StartAgain(tuple(variables.items()))
            self._say(f"[sfemu] reexec failed, so the process ends with code 127 (tag {done.again!r})")
            yield EndProcess(127)
            return Answer()
        if done.intercept:
            ret = signed_argument(done.ret, self._access.word)
            self._accounts.hit(name)
            if self._opened.has_finish:
                message = messages.Finish(shown, call.num, ret, True, arguments)
                yield from self._asked(state, name, message)
            return Answer(intercept=True, ret=ret, rule=self._opened.name)
        if name in _FORKS and not (name == "clone" and call.args and self._makes_thread(call)):
            self._copy(state)
        return Answer(after=self._opened.has_finish and name not in ONE_WAY and not self._off)

    def _finish(self, call: GuestCall, ret: int, intercepted: bool) -> Conversation:
        state = self._states.get(call.pid)
        if self._off or state is None or state.busy:
            return Answer()
        shown = call.name if call.name in NAMED else None
        message = messages.Finish(shown, call.num, ret, intercepted, self._arguments(call))
        done = yield from self._asked(state, call.name, message)
        if done.exits is not None:
            yield EndProcess(done.exits)
        return Answer()

    def _idle_hook(self, state: _State, message: messages.Idle) -> Conversation:
        done = yield from self._asked(state, "idle", message)
        if done.exits is not None:
            # Its Lua is gone with it, and the program makes no call at which it could be ended.
            self._switch_off(f"it called os.exit({done.exits}) in idle(), where the program cannot be ended")
        return Answer()

    def _asked(self, state: _State, name: str, message: wire.Message) -> Generator[Wish, int, messages.Done]:
        """Call one hook, serve what it asks for, and give what it wishes for in between."""
        state.busy = True
        began = time.monotonic()
        try:
            done = yield from self._conversation(state, message)
        except Broken as error:
            self._switch_off(f"{error} in {_hook(message)} for {name}")
            done = messages.Done()
        finally:
            state.busy = False
            state.used = True
        self._accounts.add(name, time.monotonic() - began)
        if done.error:
            self._accounts.fail(name)
            self._say(f"[sfemu] error in {_hook(message)}: {done.error}")
        return done

    def _conversation(self, state: _State, message: wire.Message) -> Generator[Wish, int, messages.Done]:
        deadline = time.monotonic() + (_HOOK_S if state.used else _LOAD_S)
        state.lua.come_near()
        state.lua.send(message, deadline)
        while True:
            reply = state.lua.receive(deadline)
            if isinstance(reply, messages.Done):
                return reply
            if isinstance(reply, wire.Log):
                self._say(reply.line.decode("utf-8", "backslashreplace"))
                continue
            if not isinstance(reply, wire.Ask):
                raise Broken("it greeted twice")
            before = time.monotonic()
            if reply.method == "do_syscall":
                answer = yield from self._made_call(reply)
            elif reply.method == "wait_user":
                answer = yield from self._person(reply)
            else:
                answer = self._answers.serve(reply)
            deadline += time.monotonic() - before
            state.lua.send(answer, deadline)

    def _made_call(self, ask: wire.Ask) -> Generator[Wish, int, wire.Reply]:
        numbers = [value for value in ask.args if isinstance(value, int)]
        if len(numbers) != 1 + _ARGUMENTS:
            return wire.Reply(-_EINVAL)
        mask = (1 << (8 * self._access.word)) - 1
        result = yield MakeCall(numbers[0], tuple(value & mask for value in numbers[1:]))
        return wire.Reply(0, (signed_argument(result, self._access.word),))

    def _person(self, ask: wire.Ask) -> Generator[Wish, int, wire.Reply]:
        prompt = ask.args[0] if ask.args and isinstance(ask.args[0], bytes) else b""
        said = safe_line(prompt.decode("utf-8", "backslashreplace"), 200)
        if not self._asks_person:
            self._say(f"[sfemu] nobody is asked: {said}")
            return wire.Reply(-_EIO, (0,))
        result = yield AskPerson(said)
        return wire.Reply(0, (1,)) if result == 1 else wire.Reply(-_EIO, (0,))

    # ------------------------------------------------------------ idle

    def _serve_idle(self, guest: Guest, conversation: Conversation, value: int | None) -> None:
        with guest.between_calls():
            answer = self._told(conversation, value)
            while answer.wish is not None and answer.go_on is not None:
                if isinstance(answer.wish, AskPerson):
                    self._idling = conversation
                    guest.freeze_for(answer.wish.why)
                    break
                guest.note_rule_log(answer)
                answer = answer.go_on(-self._enosys)
        guest.note_rule_log(answer)

    # ------------------------------------------------------------ Lua states

    def _state_of(self, call: GuestCall) -> _State | None:
        """Return the state for the process of a call, made if it has none yet."""
        current = self._access.current
        if self._off or current is None:
            return None
        known = current.views.processes_known.by_pid.get(call.pid)
        program = known.program if known is not None else None
        state = self._states.get(call.pid)
        if state is not None and state.program is program:
            return state
        variables: dict[str, str] = {}
        if state is not None:
            # It has executed another program, or its own again.
            variables = state.variables
            state.lua.end()
            del self._states[call.pid]
        elif known is not None and (copies := self._forked.get(known.parent)):
            copy = copies.pop(0)
            copy.program, copy.inner = program, process.inner_pid(call.pid)
            self._states[call.pid] = copy
            return copy
        self._tidy()
        if len(self._states) >= _MOST_PROCESSES:
            self._switch_off(
                f"the guest has more than {_MOST_PROCESSES} processes, and each needs a Lua state"
            )
            return None
        try:
            first = self._started()
            made = _State(spawned(first, variables, _LOAD_S), program, process.inner_pid(call.pid), variables)
        except (TriageError, Broken, OSError) as error:
            self._switch_off(str(error))
            return None
        self._states[call.pid] = made
        return made

    def _started(self) -> FirstProcess:
        if self._first is None:
            current = self._access.current
            assert current is not None
            self._first = self._opened.start(current.views, current.cell.single_id, self._enosys)
            greeting = self._first.greeting
            held = ", ".join(greeting.guards)
            self.log.append(f"[sfemu] {self._opened.name}: its Lua is held by {held}")
            self.log += [f"[sfemu] missing: {what}" for what in greeting.missing]
        return self._first

    def _copy(self, state: _State) -> None:
        """Make a copy of a state for the child that its process is about to have."""
        if sum(map(len, self._forked.values())) >= _MOST_PROCESSES:
            return
        with contextlib.suppress(Broken):
            copy = _State(spawned(state.lua, {}, _HOOK_S), None, 0, dict(state.variables), used=True)
            self._forked.setdefault(state.inner, []).append(copy)

    def _tidy(self) -> None:
        for pid in [pid for pid in self._states if not os.path.exists(f"/proc/{pid}")]:
            self._states.pop(pid).lua.end()

    def _makes_thread(self, call: GuestCall) -> bool:
        # The flags come second on s390x (CONFIG_CLONE_BACKWARDS2).
        return bool(call.args[1 if self._access.arch == "s390x" else 0] & _CLONE_THREAD)

    # ------------------------------------------------------------ smaller things

    @property
    def _enosys(self) -> int:
        return self._access.errno_number("ENOSYS") or _ENOSYS

    def _arguments(self, call: GuestCall) -> tuple[int, ...]:
        arguments = (*call.args, *([0] * _ARGUMENTS))[:_ARGUMENTS]
        return tuple(signed_argument(value, self._access.word) for value in arguments)

    def _counted_restart(self, state: _State, name: str, tag: str) -> dict[str, str]:
        """Return the variables of a restart, empty where its limit does not allow one."""
        variables = {**self._opened.environment, **state.variables}
        most = _number(variables.get("SFEMU_REEXEC_MAX"), _RESTARTS)
        count = _number(variables.get("SFEMU_REEXEC_COUNT"), 0)
        shown = safe_line(tag, 100)
        if most <= 0 or count >= most:
            self._say(f"[sfemu] reexec {shown!r} is left out: {count} of at most {max(most, 0)} were made")
            return {}
        self._accounts.restart(name, shown)
        self._say(f"[sfemu] reexec {count + 1} of at most {most}: the program starts again (tag {shown!r})")
        tagged = {"SFEMU_REEXEC_TAG": tag} if tag and "\0" not in tag else {}
        return {"SFEMU_REEXEC_COUNT": str(count + 1), **tagged}

    def _say(self, line: str) -> None:
        if self._lines_left > 0:
            self._lines_left -= 1
            self._lines.append(line)

    def _switch_off(self, why: str) -> None:
        """Ask the directory no more; the guest goes on without it."""
        if not self._off:
            self._off = why
            self._problem = f"The rule directory {self._opened.name} is not asked any more: {why}."


def _hook(message: wire.Message) -> str:
    return f"{type(message).__name__.lower()}()"


def _number(text: str | None, default: int) -> int:
    try:
        return int(text or default)
    except ValueError:
        return default
