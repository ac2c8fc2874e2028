"""The supervisor's end of the processes that hold the Lua of a rule directory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Sequence

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulehost import wire
from triage_tui.rulehost.process import current_cpu, isolated
from triage_tui.sfemu.running import messages

_BOOTSTRAP = "from triage_tui.sfemu.running.lua_process import main; main({}, {})"
_START_S = 20.0
_PIECE = 1 << 16
_TIME = struct.Struct("@qq")
"""struct timeval of SO_RCVTIMEO, socket(7)."""
_LOOK_US = 300_000
"""How often is looked whether a person wants all to end, in microseconds, also where it talks on and on."""


class Broken(Exception):
    """A process ended, took too long, or said what it may not; the message says which, behind "it"."""


class LuaConnection:
    """The socket to one process, and a handle of it."""

    def __init__(self, own: socket.socket, cancelled: Callable[[], bool]) -> None:
        """Talk over `own`; the process greets first (`greet`). Once `cancelled` it is waited for no more."""
        self._socket = own
        self.cancelled = cancelled
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIME.pack(0, _LOOK_US))
        self._handle = -1
        self._pid = 0
        self._received = bytearray()
        """What came behind the last message."""
        self._patience = 0.0
        self._next_look = 0.0
        self._is_greeted = False
        """No descriptor comes any more."""
        self._near = -1
        """The processor on which the process runs, -1 for any."""
        self.greeting = messages.Hello([], [])

    def greet(self, deadline: float) -> None:
        """Wait for the process's greeting.

        Raises:
            Broken: there is none; the message says why.
        """
        greeting = self.receive(deadline)
        if isinstance(greeting, messages.Failed):
            raise Broken(greeting.why[:300])
        if not isinstance(greeting, messages.Hello):
            raise Broken("it did not greet")
        self.greeting = greeting
        fds = self._take_fds(deadline)
        for fd in fds[1:]:
            os.close(fd)
        self._is_greeted = True
        if not fds:
            raise Broken("it sent no handle of itself")
        os.set_inheritable(fds[0], False)
        self._handle = fds[0]
        self._pid = _process_behind(fds[0])

    def come_near(self) -> None:
        """Have the process run on the processor that this thread runs on: one always waits for the other."""
        here = current_cpu()
        if here != self._near and self._pid:
            self._near = here
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self._pid, {here})

    def send(self, message: wire.Message, deadline: float, fds: Sequence[int] = ()) -> None:
        """Send one message, and `fds` with the byte behind it, before the monotonic time `deadline`.

        Raises:
            Broken: that is not possible.
        """
        self._be_patient(deadline)
        try:
            self._socket.sendall(wire.frame(message))
            if fds:
                socket.send_fds(self._socket, [b"d"], fds)
        except BlockingIOError:
            raise Broken("it did not read what it was sent in time") from None
        except OSError:
            raise Broken("it has ended") from None

    def receive(self, deadline: float) -> messages.FromProcess:
        """Return the next message.

        Raises:
            Broken: none came before the monotonic time `deadline`, or one that is not allowed.
        """
        (length,) = wire.LENGTH.unpack(self._take(wire.LENGTH.size, deadline))
        if length > messages.MAX_MESSAGE:
            raise Broken("it sent a message that is too long")
        try:
            return messages.from_process.decode(self._take(length, deadline))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Broken("it sent a message that is not allowed") from None

    def _be_patient(self, deadline: float) -> None:
        """Have what is sent from here on be read before `deadline`, roughly; that it has not passed is sure.

        The kernel's own time-out is set anew when it is far off only: each costs a call.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_US / 1e6
            self._look_up()
        left = deadline - now
        if left <= 0:
            raise Broken("it took too long")
        if self._patience and left / 2 < self._patience <= left:
            return
        self._patience = left
        value = _TIME.pack(int(left), int(left % 1 * 1e6) or 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def _take(self, size: int, deadline: float) -> bytes:
        received = self._received
        while len(received) < size:
            self._be_patient(deadline)
            # Before the greeting is over, never more than is wanted: a descriptor comes behind it.
            try:
                piece = self._socket.recv(_PIECE if self._is_greeted else size - len(received))
            except BlockingIOError:
                self._look_up()
                continue
            except OSError:
                piece = b""
            if not piece:
                raise Broken("it has ended")
            received += piece
        taken = bytes(received[:size])
        del received[:size]
        return taken

    def _take_fds(self, deadline: float) -> list[int]:
        """Return the descriptors that come with the next byte."""
        while True:
            self._be_patient(deadline)
            try:
                return socket.recv_fds(self._socket, 1, 4)[1]
            except BlockingIOError:
                self._look_up()
            except OSError:
                return []

    def _look_up(self) -> None:
        if self.cancelled():
            raise Broken("it was interrupted")

    def end(self) -> None:
        """Kill the process, if it is still there, and close the socket. May be called again."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
            self._handle = -1
        self._socket.close()


class FirstProcess(LuaConnection):
    """The process that the others are made of, and the end of all of them with it."""

    def __init__(
        self, setup: messages.Setup, fds: Sequence[int], cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Start it in the cell behind `fds`, see `lua_process.main`.

        Raises:
            TriageError: it cannot be started, or cannot enter the cell.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _spawn(theirs.fileno())
            except OSError as error:
                ours.close()
                raise TriageError(
                    f"the Lua of the rule directory cannot be started: {error.strerror}"
                ) from error
        super().__init__(ours, cancelled)
        deadline = time.monotonic() + _START_S
        try:
            self.send(setup, deadline, fds)
            self.greet(deadline)
        except Broken as error:
            self.end()
            raise TriageError(
                f"the Lua of the rule directory cannot be run beside the guest: {error}"
            ) from error

    def end(self) -> None:
        """End it, and with it every process that was made of it."""
        super().end()
        self._process.kill()
        self._process.wait()


def spawned(maker: LuaConnection, environment: dict[str, str], seconds: float) -> LuaConnection:
    """Return a new process: with an empty Lua state where `maker` is the first, else with a copy of its own.

    Raises:
        Broken: there is none.
    """
    ours, theirs = socket.socketpair()
    made = LuaConnection(ours, maker.cancelled)
    deadline = time.monotonic() + seconds
    try:
        with theirs:
            maker.send(messages.Spawn(environment), deadline, [theirs.fileno()])
        made.greet(deadline)
    except Broken:
        made.end()
        raise
    return made


def _process_behind(handle: int) -> int:
    """Return the id of a process in this name space, given its pidfd; 0 where the kernel does not tell."""
    with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == "Pid" and value.strip().isdecimal():
                return int(value)
    return 0


def _spawn(descriptor: int) -> subprocess.Popen[bytes]:
    """Start an isolated interpreter, cwd "/"."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return subprocess.Popen(
        isolated(_BOOTSTRAP.format(descriptor, os.getpid())),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env=kept,
        cwd="/",
        start_new_session=True,
    )
