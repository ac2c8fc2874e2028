"""Ask a guest's service whether it works: a TCP connection, an HTTP request, or a command of the person's.

    tcp:80                      connect; what the service says by itself counts
    http:80/path=expected       GET /path must give a status below 400, and `expected` in what comes back
    cmd:curl -fs 127.0.0.1:80   a shell command of this host, run in the guest's network; 0 means well

What was answered is asked once more at once, and again when the agreed time is over: a service that works
does so twice, and goes on doing it. Each question has a time of its own and ends when the guest is frozen.

Everything happens in the guest's own network name space, so that 127.0.0.1 is the guest's. What comes back
is the guest's and not trusted: it is read up to a bound, quoted in the record, and never interpreted
further than the status line of HTTP (RFC 9112, section 4).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.freezing.suspicion import Line, Prober
from triage_tui.runs.model import Probe, ProbeOutcome

CONNECT_S = 1.0
GREETING_S = 0.4
"""How long a service is given to speak first, as telnet, FTP and SSH do."""
ANSWER_S = 3.0
COMMAND_S = 10.0
_LOOK_S = 0.2
"""How often who waits for an answer looks whether the guest is still there to give one."""
MAX_REPLY = 1 << 16
MAX_AUTOMATIC = 4
"""Ports that are asked when nobody named any."""
_SHOWN = 300

_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})")
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)):(?P<port>\d+)")

_ENTER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for name, fd in zip(sys.argv[1].split(","), map(int, sys.argv[2].split(","))):
    if libc.setns(fd, {"user": 0x10000000, "net": 0x40000000}[name]):
        os.write(2, f"the guest's {name} name space: {os.strerror(ctypes.get_errno())}".encode())
        os._exit(126)
    os.close(fd)
if not libc.unshare(0x20000000) and (child := os.fork()):
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 255)
if os.getpid() == 1 and (child := os.fork()):
    ended, status = 0, 0
    while ended != child:
        ended, status = os.waitpid(-1, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)
os.execv("/bin/sh", ["sh", "-c", sys.argv[3]])
"""
"""Where the kernel allows it (unshare(2), CLONE_NEWPID), the command has a PID name space of its own: with
its first process, which is in the group that is killed, all of it ends, also what is in another session."""


class Question(msgspec.Struct, frozen=True):
    """One probe that a person named."""

    kind: Literal["tcp", "http", "cmd"]
    port: int = 0
    path: str = "/"
    expect: str = ""
    command: str = ""


def parse_question(text: str) -> Question:
    """Read tcp:PORT, http:PORT[/PATH][=EXPECTED] or cmd:COMMAND.

    Raises:
        TriageError: it is none of these.
    """
    kind, _, rest = text.partition(":")
    if kind == "cmd" and rest.strip() and "\0" not in rest:
        return Question("cmd", command=rest)
    found = re.fullmatch(r"(\d{1,5})(/[^=\s]*)?(?:=(.+))?", rest)
    if found and 0 < int(found[1]) < 65536:
        if kind == "tcp" and not found[2] and not found[3]:
            return Question("tcp", int(found[1]))
        if kind == "http":
            return Question("http", int(found[1]), found[2] or "/", found[3] or "")
    raise TriageError(
        f"{text[:80]!r} is no probe: say tcp:PORT, http:PORT/PATH, http:PORT/PATH=EXPECTED or cmd:COMMAND"
    )


def prober(questions: Iterable[Question]) -> Prober:
    """Return what asks `questions`, or, without any, what the guest listens on."""
    named = tuple(questions)

    def probe(line: Line) -> Iterator[Probe]:
        asking: list[Callable[[], Probe]] = [partial(_ask, line, question) for question in named]
        if not named:
            asking = [partial(_automatic, line, host, port) for host, port in targets(line.listening)]
        answered: list[tuple[Callable[[], Probe], Probe]] = []
        for ask in asking:
            found = ask()
            if found.outcome == "answered":
                answered.append((ask, found))
            yield found
        line.is_answered.set()
        _confirm(line, answered)

    return probe


def _confirm(line: Line, answered: list[tuple[Callable[[], Probe], Probe]]) -> None:
    """Put the questions that were answered once more, and again after the agreed time."""
    for ask, probe in answered:
        outcome = ask().outcome
        if line.is_closed.is_set():
            return
        probe.again = outcome
    twice = [(ask, probe) for ask, probe in answered if probe.again == "answered"]
    if not twice or line.stable_s <= 0 or line.is_closed.wait(line.stable_s):
        return
    for ask, probe in twice:
        since, outcome = time.monotonic_ns() - probe.ts_mono_ns, ask().outcome
        if line.is_closed.is_set():
            return
        probe.later, probe.later_ms = outcome, round(since / 1e6, 1)


def targets(listening: Iterable[str]) -> list[tuple[str, int]]:
    """Return where to connect to reach TCP services that listen on these addresses, one for each port."""
    found: dict[int, str] = {}
    for text in listening:
        match = _ADDRESS.fullmatch(text)
        if match is None:
            continue
        host = match["four"] or match["six"]
        port = int(match["port"])
        if host in ("0.0.0.0", "::"):
            host = "127.0.0.1"
        found.setdefault(port, host)
    return [(found[port], port) for port in sorted(found)][:MAX_AUTOMATIC]


def _ask(line: Line, question: Question) -> Probe:
    if question.kind == "cmd":
        return _run_command(line, question.command)
    addresses = {port: host for host, port in targets(line.listening)}
    host = addresses.get(question.port, "127.0.0.1")
    if question.kind == "tcp":
        return _connect(line, host, question.port)
    return _get(line, host, question.port, question.path, question.expect)


class _Timer:
    def __init__(self) -> None:
        self.mono_ns = time.monotonic_ns()

    def elapsed_ms(self) -> float:
        return round((time.monotonic_ns() - self.mono_ns) / 1e6, 1)


def _result(
    timer: _Timer,
    target: str,
    outcome: ProbeOutcome,
    detail: str,
    reply: bytes = b"",
    *,
    asked: bool = True,
    status: int | None = None,
) -> Probe:
    return Probe(
        target=target,
        outcome=outcome,
        asked=asked,
        detail=detail,
        status=status,
        received=len(reply),
        reply=reply[:_SHOWN].decode("utf-8", "backslashreplace"),
        ts_mono_ns=timer.mono_ns,
        elapsed_ms=timer.elapsed_ms(),
    )


def _call(line: Line, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = line.open_socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_S)
        connection.connect((host, port))
    except BaseException:
        connection.close()
        raise
    return connection


def _receive(
    line: Line, connection: socket.socket, seconds: float, wanted: bytes = b""
) -> tuple[bytes, bool]:
    """Return what comes within `seconds`, up to a bound, and whether the other side has closed.

    Reading ends early once `wanted` is there, or, without it, after the first bytes and a short while; and
    when the guest was frozen.
    """
    deadline = time.monotonic() + seconds
    reply = b""
    while len(reply) < MAX_REPLY:
        rest = deadline - time.monotonic()
        if reply and not wanted:
            rest = min(rest, 0.1)
        if rest <= 0 or (wanted and wanted in reply) or line.is_closed.is_set():
            break
        connection.settimeout(min(rest, _LOOK_S))
        try:
            data = connection.recv(4096)
        except TimeoutError:
            if rest > _LOOK_S:
                continue
            break
        except OSError:
            return reply, True
        if not data:
            return reply, True
        reply += data
    return reply[:MAX_REPLY], False


def _refused(timer: _Timer, target: str, error: OSError, asked: bool) -> Probe:
    if isinstance(error, ConnectionRefusedError):
        return _result(timer, target, "refused", f"nobody takes connections at {target}", asked=asked)
    if isinstance(error, TimeoutError):
        return _result(timer, target, "silent", f"{target} does not take connections", asked=asked)
    return _result(timer, target, "failed", f"{target} cannot be asked: {error}", asked=asked)


def _connect(line: Line, host: str, port: int) -> Probe:
    timer, target = _Timer(), f"tcp {host}:{port}"
    try:
        with _call(line, host, port) as connection:
            reply, closed = _receive(line, connection, GREETING_S)
            if not reply:
                line.keep(connection.dup())
    except OSError as error:
        return _refused(timer, target, error, True)
    if reply:
        return _result(timer, target, "answered", f"{target} spoke first, {len(reply)} bytes", reply)
    if closed:
        detail = f"{target} took the connection and ended its side without a word"
        return _result(timer, target, "accepted", detail)
    return _result(timer, target, "silent", f"{target} does not take it: the connection waits")


def _get(line: Line, host: str, port: int, path: str, expect: str) -> Probe:
    timer, target = _Timer(), f"http {host}:{port}{path}"
    wanted = expect.encode("utf-8", "surrogateescape")
    try:
        with _call(line, host, port) as connection:
            reply, _ = _request(line, connection, host, path, wanted)
            if not reply:
                line.keep(connection.dup())
    except OSError as error:
        return _refused(timer, target, error, True)
    return _judge_http(timer, target, reply, wanted, asked=True)


def _request(
    line: Line, connection: socket.socket, host: str, path: str, wanted: bytes = b""
) -> tuple[bytes, bool]:
    shown = f"[{host}]" if ":" in host else host
    request = f"GET {path} HTTP/1.0\r\nHost: {shown}\r\nUser-Agent: triage-tui\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode("ascii", "replace"))
    return _receive(line, connection, ANSWER_S, wanted)


def _judge_http(timer: _Timer, target: str, reply: bytes, wanted: bytes, *, asked: bool) -> Probe:
    found = _STATUS.match(reply)
    if not reply:
        detail = f"{target} does not take it: the request waits unanswered"
        return _result(timer, target, "silent", detail, asked=asked)
    if found is None:
        outcome: ProbeOutcome = "wrong" if asked else "answered"
        detail = f"{target} answered with {len(reply)} bytes that are no HTTP"
        return _result(timer, target, outcome, detail, reply, asked=asked)
    status = int(found[1])
    detail = f"GET {target.removeprefix('http ')} was answered with status {status}"
    outcome = "answered"
    if asked and status >= 400:
        outcome = "wrong"
    elif wanted and wanted not in reply:
        outcome = "wrong"
        detail += f", but without {wanted.decode('utf-8', 'backslashreplace')[:80]!r}"
    return _result(timer, target, outcome, detail, reply, asked=asked, status=status)


def _automatic(line: Line, host: str, port: int) -> Probe:
    """Connect, let the service speak, and say something of HTTP when it does not."""
    timer, target = _Timer(), f"tcp {host}:{port}"
    try:
        with _call(line, host, port) as connection:
            reply, closed = _receive(line, connection, GREETING_S)
            if reply:
                detail = f"{target} spoke first, {len(reply)} bytes"
                return _result(timer, target, "answered", detail, reply, asked=False)
            if closed:
                line.keep(connection.dup())
                detail = f"{target} took the connection and ended its side without a word"
                return _result(timer, target, "accepted", detail, asked=False)
            reply, closed = _request(line, connection, host, "/")
            if not reply:
                line.keep(connection.dup())
    except OSError as error:
        return _refused(timer, target, error, False)
    if not reply and closed:
        detail = f"{target} took the connection and ended its side without an answer"
        return _result(timer, target, "accepted", detail, asked=False)
    shown = f"http {host}:{port}/" if _STATUS.match(reply) else target
    return _judge_http(timer, shown, reply, b"", asked=False)


def _run_command(line: Line, command: str) -> Probe:
    timer, target = _Timer(), f"command {command}"
    # As root of the host its network name space alone can be entered, and the command stays root of the host;
    # anybody else has that right as owner of the guest's user name space.
    names = ["net"] if os.geteuid() == 0 else ["user", "net"]
    fds: list[int] = []
    try:
        for name in names:
            fds.append(os.open(f"/proc/{line.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC))
        arguments = [",".join(names), ",".join(map(str, fds)), command]
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _ENTER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=fds,
            start_new_session=True,
        )
    except OSError as error:
        return _result(timer, target, "failed", f"the command cannot be run: {error.strerror}")
    finally:
        for fd in fds:
            os.close(fd)
    reply, why = _await_command(line, child)
    if why:
        return _result(timer, target, "silent", f"the command was ended: {why}", reply)
    code = child.returncode
    outcome: ProbeOutcome = "answered" if code == 0 else "wrong"
    return _result(timer, target, outcome, f"the command ended with code {code}", reply, status=code)


def _await_command(line: Line, child: subprocess.Popen[bytes]) -> tuple[bytes, str]:
    """Return the beginning of what a command prints, and why it was ended, "" where it ended by itself.

    Neither a flood of output nor a process of its own that keeps the output open outlasts the bounds.
    """
    assert child.stdout is not None
    deadline = time.monotonic() + COMMAND_S
    reply, why, is_open = b"", "", True
    ready = select.poll()
    ready.register(child.stdout, select.POLLIN)
    with child.stdout:
        while True:
            has_ended = child.poll() is not None
            events = ready.poll(0 if has_ended else _LOOK_S * 1000) if is_open else []
            if events:
                data = os.read(child.stdout.fileno(), MAX_REPLY)
                is_open = bool(data)
                reply += data[: MAX_REPLY - len(reply)]
            elif not is_open and not has_ended:
                time.sleep(0.01)
            if has_ended and not (events and is_open):
                break
            if line.is_closed.is_set():
                why = "the guest was frozen or gone"
            elif time.monotonic() > deadline:
                why = f"it took longer than {COMMAND_S:g} s"
            if why:
                break
        # What it left behind goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return reply, why


def check(questions: Iterable[Question]) -> None:
    """Refuse questions that cannot be asked on this system.

    Raises:
        TriageError: there is no shell for a command.
    """
    if any(question.kind == "cmd" for question in questions) and not Path("/bin/sh").exists():
        raise TriageError("a command as probe needs /bin/sh, which this system does not have")
