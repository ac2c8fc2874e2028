"""The rule host: the child process in which Lua rules run.

Started by `triage_tui.rulehost.process` with one socket; it closes itself in (`sandbox`), then serves one
request after the other. Rules run in Lua 5.3 because SFEmu embeds that version and its rule packs rely on
it (integer division, no attribs, no warnings); where lupa was built without it, Lua 5.4 is used and named
in the greeting. Every rule has a Lua state of its own: a rule cannot reach another one's globals or
library tables, and each has its own memory limit.

No Python object is ever handed to a rule. The prelude keeps the two bridge functions as upvalues; they
return integers and byte strings only, never raise, and the attribute filter refuses every access to a
Python attribute should one leak all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NoReturn

from triage_tui.rulehost import sandbox, wire

_EPERM = 1
_Bridge = Callable[..., tuple[wire.Value, ...]]


class Channel:
    """The socket to the client, used with plain read(2) and write(2): the filter allows nothing else."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._received = bytearray()
        """What came behind the last message."""

    def receive(self) -> wire.ToHost:
        """Return the next message; ends the process when the client has gone."""
        (length,) = wire.LENGTH.unpack(self._take(wire.LENGTH.size))
        return wire.to_host.decode(self._take(min(length, wire.MAX_MESSAGE)))

    def send(self, message: wire.Message) -> None:
        """Send one message; ends the process when the client has gone."""
        rest = memoryview(wire.frame(message))
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                os._exit(0)

    def _take(self, size: int) -> bytes:
        received = self._received
        while len(received) < size:
            try:
                piece = os.read(self._descriptor, 1 << 16)
            except OSError:
                piece = b""
            if not piece:
                os._exit(0)
            received += piece
        taken = bytes(received[:size])
        del received[:size]
        return taken


def _refuse_attribute(_target: object, name: object, _setting: bool) -> NoReturn:
    raise AttributeError(f"no Python attributes here ({name!r})")


def load_lua() -> Any:
    """Return lupa's Lua 5.3 module, or its 5.4 one where lupa was built without 5.3."""
    try:
        from lupa import lua53 as chosen
    except ImportError:
        from lupa import lua54 as chosen
    return chosen


class State:
    """One rule's Lua state: the prelude's entry points."""

    def __init__(
        self,
        lua: Any,
        prelude: bytes,
        setup: wire.Setup,
        ask: _Bridge,
        say: _Bridge,
        instructions: int,
        memory_bytes: int,
    ) -> None:
        runtime = lua.LuaRuntime(
            encoding=None,
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            attribute_filter=_refuse_attribute,
            max_memory=memory_bytes,
        )
        self._memory_error: type[Exception] = lua.LuaMemoryError
        self._lua_error: type[Exception] = lua.LuaError
        self._runtime = runtime
        self._check, self._install, self._run, self._run_after = runtime.execute(
            prelude,
            ask,
            say,
            instructions,
            setup.requests,
            setup.request_bytes,
            setup.log_lines,
            setup.log_line_bytes,
            setup.enosys,
            mode=b"t",
        )

    def check(self, name: str, source: bytes) -> wire.Done:
        """Compile only."""
        problem = self._check(name.encode(), source)
        return wire.Done("") if problem is None else wire.Done("error", _text(problem))

    def install(self, message: wire.Load) -> wire.Done:
        """Compile the rule and run its top level within the budgets."""
        arguments = (message.name.encode(), message.source, message.syscall.encode(), message.rules_dir)
        return self._guarded(self._install, arguments)

    def run(self, message: wire.Run) -> wire.Done:
        """Call do_syscall or after_syscall within the budgets."""
        name = message.syscall.encode()
        if message.ret is not None:
            return self._guarded(self._run_after, (name, message.num, message.ret, *message.args))
        return self._guarded(self._run, (name, message.num, *message.args))

    def _guarded(self, function: Any, arguments: tuple[int | bytes, ...]) -> wire.Done:
        try:
            kind, problem, *rest = function(*arguments)
        except (self._memory_error, MemoryError):
            return wire.Done("memory", "it used up its memory")
        except self._lua_error as error:
            return wire.Done("error", str(error)[:400])
        if kind == b"error" and b"not enough memory" in problem:
            return wire.Done("memory", "it used up its memory")
        intercept, ret = rest or (False, 0)
        return wire.Done(_text(kind), _text(problem), intercept, ret)


class Host:
    """The serving loop and the bridge from the Lua states to the client."""

    def __init__(self, channel: Channel, setup: wire.Setup, lua: Any, prelude: bytes) -> None:
        self._channel = channel
        self._setup = setup
        self._lua = lua
        self._prelude = prelude
        self._states: dict[int, State] = {}
        self._compiling: State | None = None
        """Where texts are compiled that are not to be run: nothing of one is there for the next."""
        self._clock = 0

    def serve(self) -> NoReturn:
        """Answer messages for ever."""
        while True:
            self._channel.send(self._answer(self._channel.receive()))

    def warm_up(self) -> None:
        """Use everything once, so that it is imported and mapped before the process closes itself in."""
        self._state().check("warm-up", b"return 1")

    def _answer(self, message: wire.ToHost) -> wire.Done:
        try:
            if isinstance(message, wire.Run):
                self._clock = message.clock
                return self._states[message.index].run(message)
            if isinstance(message, wire.Load):
                self._clock = message.clock
                state = self._state(message.instructions, message.memory_bytes)
                self._states[message.index] = state
                return state.install(message)
            if isinstance(message, wire.Check):
                self._compiling = self._compiling or self._state()
                done = self._compiling.check(message.name, message.source)
                if done.kind:
                    self._compiling = None
                return done
        except MemoryError:
            self._compiling = None
            return wire.Done("memory", "it used up the memory of the rule host")
        return wire.Done("error", "unexpected message")

    def _state(self, instructions: int = 0, memory_bytes: int = 0) -> State:
        setup = self._setup
        return State(
            self._lua,
            self._prelude,
            setup,
            self._ask,
            self._say,
            instructions or setup.instructions,
            memory_bytes or setup.memory_bytes,
        )

    def _ask(self, method: bytes, *args: int | bytes) -> tuple[wire.Value, ...]:
        try:
            if method == b"clock":
                # The clock of the call, so that the record says what a rule was told.
                self._clock += 1
                return (0, *divmod(self._clock, 1_000_000_000))
            self._channel.send(wire.Ask(method.decode(), args))
            reply = self._channel.receive()
            if isinstance(reply, wire.Reply):
                return (reply.rc, *reply.values)
        except Exception:  # an exception object must never become a Lua error value
            pass
        return (-_EPERM,)

    def _say(self, line: bytes) -> tuple[wire.Value, ...]:
        self._channel.send(wire.Log(line))
        return (0,)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def main(descriptor: int) -> NoReturn:
    """Serve the client at the other end of the socket `descriptor` until it goes away."""
    channel = Channel(descriptor)
    setup = channel.receive()
    if not isinstance(setup, wire.Setup):
        os._exit(2)
    lua = load_lua()
    with open(os.path.join(os.path.dirname(__file__), "prelude.lua"), "rb") as file:
        prelude = file.read()
    host = Host(channel, setup, lua, prelude)
    # One state before the door closes: whatever lupa imports or maps lazily is in place by then.
    host.warm_up()
    major, minor = lua.LuaRuntime().lua_version
    guards = sandbox.close_in(
        descriptor,
        parent=setup.parent,
        address_space=setup.process_bytes,
        cpu_seconds=setup.cpu_seconds,
    )
    channel.send(wire.Hello(f"Lua {major}.{minor}", guards.active, guards.missing))
    host.serve()
