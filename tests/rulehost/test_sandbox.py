"""What native code in the rule host could still do: nothing but its channel. Real system calls are made."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import ctypes, mmap, os, signal, socket, sys, threading
sys.path.insert(0, {root!r})
from triage_tui.rulehost import sandbox
libc = ctypes.CDLL(None, use_errno=True)
guards = sandbox.close_in(1, parent=os.getppid(), address_space=64 << 20, cpu_seconds=20)
def syscall(*args):
    return libc.syscall(*args)
try:
    {body}
except OSError as error:
    os.write(1, b"OSError %d" % error.errno)
except MemoryError:
    os.write(1, b"MemoryError")
except RuntimeError:
    os.write(1, b"RuntimeError")
else:
    os.write(1, b"done")
os._exit(0)
"""


def attempt(body: str) -> tuple[int, str]:
    program = PROGRAM.format(root=str(ROOT), body=body)
    result = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, check=False, timeout=60
    )
    return result.returncode, result.stdout.decode()


def test_the_channel_and_the_processor_remain() -> None:
    assert attempt("os.write(1, str(sum(range(10 ** 6)) > 0).encode())") == (0, "Truedone")


REFUSED = {
    "read a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "write elsewhere": "os.write(2, b'x')",
    "read elsewhere": "os.read(0, 1)",
    "executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_harmless_attempt_is_refused(body: str) -> None:
    assert attempt(body) == (0, "OSError 1")


KILLED = {
    "socket": "socket.socket()",
    "fork": "os.fork()",
    "thread": "threading.Thread(target=print).start()",
    "execve": "os.execv('/bin/true', ['true'])",
    "kill the parent": "os.kill(os.getppid(), signal.SIGKILL)",
    "ptrace": "syscall(101, 16, os.getppid(), 0, 0)",
    "unlink": "os.unlink('/tmp/no-such-file-at-all')",
    "raise its own limits": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
    "io_uring": "syscall(425, 1, 0)",
    "process_vm_readv": "syscall(310, os.getppid(), 0, 0, 0, 0, 0)",
    "x32 numbering": "syscall(0x40000000 + 2, b'/etc/passwd', 0)",
    "dup": "os.dup(1)",
}


@pytest.mark.parametrize("body", KILLED.values(), ids=KILLED)
def test_a_dangerous_attempt_ends_the_process(body: str) -> None:
    status, output = attempt(body)
    assert (status, output) == (-signal.SIGSYS, "")


def test_memory_is_bounded() -> None:
    assert attempt("bytes(256 << 20)") == (0, "MemoryError")


def test_without_its_parent_the_process_ends_at_once() -> None:
    program = PROGRAM.format(root=str(ROOT), body="pass").replace("os.getppid()", "1 << 21", 1)
    result = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, check=False, timeout=60
    )
    assert (result.returncode, result.stdout) == (0, b"")
