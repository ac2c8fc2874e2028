"""Start the rule host process, talk to it with deadlines, and end it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulehost import wire
from triage_tui.rulehost.sources import Limits

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_PIECE = 1 << 16
_libc = ctypes.CDLL(None)
_BOOTSTRAP = "from triage_tui.rulehost.host import main; main({})"
_PATHS = (
    "import sys; sys.path += sys.argv[1:]; "
    # What msgspec takes of it is in `typing` as well, and loading it takes a fifth of the start.
    "sys.modules['typing_extensions'] = None; "
)


class HostDied(Exception):
    """The process ended by itself; the message says how."""


class HostTooSlow(Exception):
    """No complete message came before the deadline."""


class HostProcess:
    """One rule host process and the socket to it. Every method is for one thread at a time."""

    def __init__(self, limits: Limits, *, enosys: int, rule_bytes: int) -> None:
        """Start the process and wait for its greeting.

        `enosys` is the target's errno, `rule_bytes` what all Lua states together may use.

        Raises:
            TriageError: the process cannot be started or does not greet in time.
        """
        self._limits = limits
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _spawn(theirs.fileno())
            except OSError as error:
                ours.close()
                raise TriageError(f"The rule host cannot be started: {error.strerror}.") from error
        self._socket = ours
        self._received = bytearray()
        """What came behind the last message."""
        self._near = -1
        """The processor on which the process runs, -1 for any."""
        self.greeting = self._greet(enosys, rule_bytes)
        self._renewed = time.monotonic()
        self._cpu_clock = (
            (~self._process.pid) << 3
        ) | 2  # CPUCLOCK_SCHED of a process, <linux/posix-timers.h>

    @property
    def pid(self) -> int:
        """Host pid of the process."""
        return self._process.pid

    def _greet(self, enosys: int, rule_bytes: int) -> wire.Hello:
        limits = self._limits
        setup = wire.Setup(
            parent=os.getpid(),
            process_bytes=limits.process_bytes + rule_bytes,
            cpu_seconds=limits.cpu_seconds,
            memory_bytes=limits.memory_bytes,
            instructions=limits.instructions,
            requests=limits.requests,
            request_bytes=limits.request_bytes,
            log_lines=limits.log_lines,
            log_line_bytes=limits.log_line_bytes,
            enosys=enosys,
        )
        try:
            deadline = time.monotonic() + limits.start_seconds
            self.send(setup, deadline)
            greeting = self.receive(deadline)
        except (HostDied, HostTooSlow) as error:
            self.end()
            raise TriageError(f"The rule host did not start: {error}.") from error
        if not isinstance(greeting, wire.Hello):
            self.end()
            raise TriageError("The rule host did not start: its greeting was not understood.")
        return greeting

    def send(self, message: wire.Message, deadline: float) -> None:
        """Send one message before the monotonic time `deadline`; HostDied or HostTooSlow."""
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(wire.frame(message))
        except TimeoutError:
            raise HostTooSlow("it did not read its input in time") from None
        except OSError:
            raise HostDied(self.describe_end()) from None

    def receive(self, deadline: float) -> wire.ToClient:
        """Return the next message; HostDied (also for a message that is not allowed) or HostTooSlow."""
        (length,) = wire.LENGTH.unpack(self._take(wire.LENGTH.size, deadline))
        if length > wire.MAX_MESSAGE:
            raise HostDied("it sent a message that is too long")
        try:
            return wire.to_client.decode(self._take(length, deadline))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise HostDied("it sent a message that is not allowed") from None

    def _take(self, size: int, deadline: float) -> bytes:
        """Return the next `size` bytes; what came with them is kept for the next time."""
        received = self._received
        while len(received) < size:
            try:
                self._socket.settimeout(_left(deadline))
                piece = self._socket.recv(_PIECE)
            except TimeoutError:
                raise HostTooSlow("it did not answer in time") from None
            except OSError:
                piece = b""
            if not piece:
                raise HostDied(self.describe_end())
            received += piece
        taken = bytes(received[:size])
        del received[:size]
        return taken

    def come_near(self) -> None:
        """Have the process run on the processor that this thread runs on.

        One of the two always waits for the other, and waking a second processor takes longer than what a
        rule does. Nothing depends on it.
        """
        here = current_cpu()
        if here != self._near:
            self._near = here
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self.pid, {here})

    def renew_cpu_limit(self) -> None:
        """Allow the process another `Limits.cpu_seconds` from now; it has been answering.

        Call it before every call: it does something only when a quarter of that time may be used up.
        """
        now = time.monotonic()
        if now < self._renewed + self._limits.cpu_seconds / 4:
            return
        self._renewed = now
        with contextlib.suppress(OSError, ValueError):
            used = int(time.clock_gettime(self._cpu_clock))
            hard = resource.prlimit(self.pid, resource.RLIMIT_CPU)[1]
            resource.prlimit(self.pid, resource.RLIMIT_CPU, (used + 1 + self._limits.cpu_seconds, hard))

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @property
    def killed_from_outside(self) -> bool:
        """Whether it ended by a SIGKILL that this program did not send."""
        return self._process.poll() == -signal.SIGKILL

    def describe_end(self) -> str:
        """Say how the process ended, as the rest of a sentence. Waits for a process that is just ending."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        status = self._process.poll()
        if status is None:
            return "it closed its connection"
        if status == -signal.SIGSYS:
            return "it made a system call that is not allowed"
        if status == -signal.SIGXCPU:
            return "it used up its processor time"
        if status < 0:
            return f"it was ended by {signal.Signals(-status).name}"
        return f"it ended with status {status}"

    def end(self) -> None:
        """Kill the process, wait for it and close the socket. May be called again."""
        self._process.kill()
        self._process.wait()
        self._socket.close()


def current_cpu() -> int:
    """Return the number of the processor that this thread runs on."""
    number: int = _libc.sched_getcpu()
    return number


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _spawn(descriptor: int) -> subprocess.Popen[bytes]:
    """Start an isolated interpreter, cwd "/"."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return subprocess.Popen(
        isolated(_BOOTSTRAP.format(descriptor)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env=kept,
        cwd="/",
        start_new_session=True,
    )


def isolated(script: str) -> list[str]:
    """Return the command of an interpreter that runs `script` without any site hooks or user directory.

    It finds this package, lupa and msgspec, wherever this interpreter found them.
    """
    # Nobody else imports some of the modules, so that nobody else would have compiled them.
    compiled = ["-B"] if sys.dont_write_bytecode else []
    if sys.pycache_prefix is not None:
        compiled += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    command = [sys.executable, "-I", "-S", *compiled, "-c", _PATHS + script]
    return [*command, str(_PACKAGE_ROOT), *_library_paths()]


@cache
def _library_paths() -> list[str]:
    """Return the directories that hold lupa and msgspec."""
    paths = []
    for name in ("lupa", "msgspec"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            paths.append(str(Path(spec.origin).resolve().parents[1]))
    return list(dict.fromkeys(paths))
