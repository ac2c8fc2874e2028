"""The processes that hold the Lua of a rule directory: the first one, and a copy for each guest process.

SFEmu keeps one Lua state in each process of the guest, and a fork copies it. So it is here: the first process
enters the guest's cell and then only makes others; each of these has one Lua state and one socket to the
supervisor, and is copied when its guest process forks. A message comes, a hook is called, an answer goes.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from triage_tui.guest.host import namespaces
from triage_tui.rulehost import wire
from triage_tui.rulehost.host import load_lua
from triage_tui.sfemu.running import commands, entering, messages

_MOST_FDS = 16
_PIECE = 1 << 16
_Bridge = Callable[..., Any]


class _HostPointer:
    """What c_g2h gives: a host address, which Lua sees as userdata."""

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address


class Channel:
    """The socket to the supervisor."""

    def __init__(self, own: socket.socket) -> None:
        self.socket = own
        self._received = bytearray()
        """What came behind the last message."""
        self._fds: list[int] = []

    def receive(self) -> messages.ToProcess:
        """Return the next message; ends the process when the supervisor has gone."""
        (length,) = wire.LENGTH.unpack(self._take(wire.LENGTH.size))
        return messages.to_process.decode(self._take(min(length, messages.MAX_MESSAGE)))

    def receive_fds(self) -> list[int]:
        """Return the descriptors that come with the next byte."""
        self._take(1)
        fds, self._fds = self._fds, []
        return fds

    def send(self, message: wire.Message) -> None:
        """Send one message; ends the process when the supervisor has gone."""
        try:
            self.socket.sendall(wire.frame(message))
        except OSError:
            os._exit(0)

    def _take(self, size: int) -> bytes:
        received = self._received
        while len(received) < size:
            try:
                # The kernel gives no bytes together with those behind a descriptor.
                piece, fds, _flags, _address = socket.recv_fds(self.socket, _PIECE, _MOST_FDS)
            except OSError:
                piece, fds = b"", []
            if not piece:
                os._exit(0)
            for fd in fds:
                os.set_inheritable(fd, False)
            self._fds += fds
            received += piece
        taken = bytes(received[:size])
        del received[:size]
        return taken


def _refuse_attribute(_target: object, name: object, _setting: bool) -> NoReturn:
    raise AttributeError(f"no Python attributes here ({name!r})")


class LuaProcess:
    """One process of a rule directory, with a Lua state or, the first one, without."""

    def __init__(self, channel: Channel, setup: messages.Setup, lua: Any, emulator: int | None) -> None:
        self._channel = channel
        self._setup = setup
        self._lua = lua
        self._emulator = emulator
        self._prelude = Path(__file__).with_name("prelude.lua").read_bytes()
        self._environment: dict[str, str] = {}
        self._hooks: dict[str, Any] = {}
        self._pid = 0
        self._has_children = False
        self._runtime: Any = None

    def serve(self) -> NoReturn:
        """Answer messages for ever."""
        while True:
            message = self._channel.receive()
            if isinstance(message, messages.Spawn):
                self._spawn(message)
            else:
                self._channel.send(self._answered(message))
            if self._has_children:
                self._reap()

    def _reap(self) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            self._has_children = False

    def _spawn(self, message: messages.Spawn) -> None:
        fds = self._channel.receive_fds()
        if os.fork() == 0:
            self._channel.socket.close()
            self._channel = Channel(socket.socket(fileno=fds[0]))
            self._environment |= message.environment
            self._has_children = False
            _greet(self._channel, [], [])
        else:
            self._has_children = True
            for fd in fds:
                os.close(fd)

    def _answered(self, message: messages.ToProcess) -> messages.Done:
        try:
            return self._answer(message)
        except Exception as error:
            return messages.Done(error=f"{type(error).__name__}: {error}"[:400])

    def _answer(self, message: messages.ToProcess) -> messages.Done:
        if self._runtime is None:
            try:
                self._load()
            except self._lua.LuaError as error:
                return messages.Done(error=str(error)[:400])
        if isinstance(message, messages.Entry):
            self._pid = message.pid
            name = None if message.name is None else message.name.encode()
            return self._call("entry", name, message.num, *message.args)
        if isinstance(message, messages.Finish):
            name = None if message.name is None else message.name.encode()
            return self._call("finish", name, message.num, message.ret, message.intercepted, *message.args)
        if isinstance(message, messages.Idle):
            return self._call("idle", message.pc, message.idle_ms, message.seq_len, message.repeats)
        return messages.Done(error="unexpected message")

    def _load(self) -> None:
        setup = self._setup
        self._runtime = self._lua.LuaRuntime(
            encoding=None,
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            attribute_filter=_refuse_attribute,
        )
        bridge = {
            b"ask": self._ask,
            b"say": self._say,
            b"run": self._run_command,
            b"output": self._command_output,
            b"variable": self._variable,
            b"exit": self._exit,
            b"pointer": _HostPointer,
            b"address": lambda pointer: pointer.address if isinstance(pointer, _HostPointer) else None,
            b"process": lambda: self._pid,
            b"mkdir_p": _mkdir_p,
        }
        table = self._runtime.table_from(bridge)
        hooks = self._runtime.execute(
            self._prelude, table, setup.rules_path.encode(), self._runtime.table_from(_bytes(setup.numbers)),
            setup.enosys, messages.MOST_BYTES, mode=b"t",
        )  # fmt: skip
        self._hooks = dict(zip(("entry", "finish", "idle"), hooks, strict=True))

    def _call(self, hook: str, *arguments: object) -> messages.Done:
        try:
            intercept, ret, error, again = self._hooks[hook](*arguments)
        except (self._lua.LuaError, MemoryError) as error_of_lua:
            return messages.Done(error=str(error_of_lua)[:400])
        return messages.Done(
            intercept,
            ret,
            _text(error)[:400] if error is not None else "",
            _text(again)[:200] if again is not None else None,
        )

    # What the prelude asks for; nothing of Python's is raised into Lua.

    def _ask(self, method: bytes, *args: int | bytes) -> tuple[object, ...]:
        try:
            self._channel.send(wire.Ask(method.decode(), args))
            reply = self._channel.receive()
            if isinstance(reply, wire.Reply):
                return (reply.rc, *reply.values)
        except Exception:
            pass
        return (-1,)

    def _say(self, line: bytes) -> None:
        self._channel.send(wire.Log(line[:2000]))

    def _variable(self, name: bytes) -> bytes | None:
        for variables in (self._environment, self._setup.environment):
            value = variables.get(name.decode("utf-8", "surrogateescape"))
            if value is not None:
                return value.encode("utf-8", "surrogateescape")
        return None

    def _exit(self, code: int) -> NoReturn:
        self._channel.send(messages.Done(exits=code & 0xFF))
        os._exit(0)

    def _run_command(self, command: bytes) -> tuple[bytes, int]:
        """Carry a command out, or have the guest's shell do it; return how it ended, as os.execute has it."""
        printed, kind, code = self._command_output(command)
        if printed:
            self._say(b"[sfemu] " + command[:200] + b": " + printed[:1000].rstrip(b"\n"))
        return kind, code

    def _command_output(self, command: bytes) -> tuple[bytes, bytes, int]:
        """Do the same; return what was printed, and how it ended."""
        plain = commands.run(os.fsdecode(command))
        if plain is not None:
            return plain[1], b"exit", plain[0]
        reader, writer = os.pipe2(os.O_CLOEXEC)
        child = self._fork_command(command, writer)
        os.close(writer)
        printed = bytearray()
        while (piece := os.read(reader, 1 << 16)) and len(printed) < messages.MOST_BYTES:
            printed += piece
        os.close(reader)
        kind, code = _how_ended(child)
        return bytes(printed), kind, code

    def _fork_command(self, command: bytes, output: int) -> int:
        """Start the guest's shell under its emulator; return the process."""
        child = os.fork()
        if child:
            return child
        try:
            os.dup2(output, 1)
            # The emulator reserves the whole address range of its program.
            unbounded = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (unbounded, unbounded))
            variables = self._setup.environment | self._environment
            if self._emulator is not None and self._setup.shell:
                os.execve(self._emulator, [*self._setup.shell, os.fsdecode(command)], variables)
        finally:
            os._exit(127)


def _how_ended(child: int) -> tuple[bytes, int]:
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return b"signal", os.WTERMSIG(status)
    return b"exit", os.waitstatus_to_exitcode(status)


def _mkdir_p(path: bytes, mode: int) -> int:
    """Make a directory and its parents; 0 or a negative errno of this machine."""
    try:
        os.makedirs(path, mode, exist_ok=True)
    except (OSError, ValueError) as error:
        return -(getattr(error, "errno", None) or 22)
    return 0


def _bytes(values: dict[str, int]) -> dict[bytes, int]:
    return {name.encode(): value for name, value in values.items()}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _greet(channel: Channel, guards: list[str], missing: list[str]) -> None:
    handle = os.pidfd_open(os.getpid())
    channel.send(messages.Hello(guards, missing))
    socket.send_fds(channel.socket, [b"p"], [handle])
    os.close(handle)


def main(descriptor: int, parent: int) -> NoReturn:
    """Enter the cell, and serve the supervisor at the other end of the socket until it goes away."""
    namespaces.die_with_parent()
    if os.getppid() != parent:
        os._exit(0)
    channel = Channel(socket.socket(fileno=descriptor))
    setup = channel.receive()
    if not isinstance(setup, messages.Setup):
        os._exit(2)
    fds = channel.receive_fds()
    spaces, rules, emulator = fds[: len(entering.NAMESPACES)], fds[len(entering.NAMESPACES)], fds[-1]
    if len(fds) == len(entering.NAMESPACES) + 1:
        emulator = -1
    lua = load_lua()
    # Whatever lupa maps or imports lazily is in place before the host's files are gone.
    lua.LuaRuntime(encoding=None).execute(b"return 1")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    mapped = pages * os.sysconf("SC_PAGE_SIZE")
    process = LuaProcess(channel, setup, lua, emulator if emulator >= 0 else None)
    try:
        place = entering.enter(
            spaces,
            rules,
            setup.rules_path,
            setup.recorded,
            setup.covered,
            setup.exchanged,
            setup.overlay_bytes,
        )
        setup.rules_path = place
        namespaces.unshare(namespaces.CLONE_NEWPID)
    except OSError as error:
        channel.send(messages.Failed(str(error.strerror or error)))
        os._exit(1)
    first = os.fork()
    if first:
        channel.socket.close()
        for fd in fds:
            os.close(fd)
        os.waitpid(first, 0)
        os._exit(0)
    namespaces.die_with_parent()
    for fd in [*spaces, rules]:
        os.close(fd)
    try:
        held, missing = entering.close_in(
            setup.cwd, setup.single_id, mapped + setup.memory_bytes, setup.file_bytes
        )
    except OSError as error:
        channel.send(messages.Failed(str(error.strerror or error)))
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _greet(channel, held, missing)
    process.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
