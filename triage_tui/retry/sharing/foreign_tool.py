"""Start a foreign program so that nothing of it is left when it ends, or is ended.

What it starts may leave its process group and its session (setsid(2)). So it has a parent of its own to which
the kernel gives all that lose theirs (PR_SET_CHILD_SUBREAPER, prctl(2)), and which ends them one by one
(/proc/PID/task/TID/children, proc(5)). It needs no right that its user has not; a program that another user
started (sudo) is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

_ENDED_S = 5.0
"""How long the parent may take to end all."""

_KEEPER = """
import ctypes, os, signal, sys, time
libc = ctypes.CDLL(None)
libc.prctl(36, 1, 0, 0, 0)
def stop(*_):
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
libc.prctl(1, signal.SIGTERM, 0, 0, 0)
child, status = os.fork(), 0
if not child:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)
    os.execv("/bin/sh", ["sh", "-c", sys.argv[1]])
try:
    if os.getppid() == int(sys.argv[2]):
        ended = 0
        while ended != child:
            ended, status = os.waitpid(-1, 0)
except SystemExit:
    status = signal.SIGKILL
signal.signal(signal.SIGTERM, signal.SIG_IGN)
until = time.monotonic() + 4
while time.monotonic() < until:
    for name in open(f"/proc/self/task/{os.getpid()}/children").read().split():
        try:
            os.kill(int(name), signal.SIGKILL)
        except OSError:
            pass
    try:
        if not os.waitpid(-1, os.WNOHANG)[0]:
            time.sleep(0.01)
    except ChildProcessError:
        break
code = os.waitstatus_to_exitcode(status)
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -code)
os._exit(code & 255)
"""


def start(command: str) -> subprocess.Popen[bytes]:
    """Start a shell command without input, its output and its complaints in one pipe.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _KEEPER, command, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End what was started, with all that it started, whether it has ended by itself or not."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDED_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
