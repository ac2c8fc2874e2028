"""The filter by itself: what native code in the emulator's process gets. Real system calls are made."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, errno, os
from triage_tui.guest.cell import policy
from triage_tui.guest.host import host_syscalls, seccomp
numbers = host_syscalls.numbers()
seccomp.install(seccomp.program([], 1025, refused=policy.NEVER_NEEDED.split()))
libc = ctypes.CDLL(None, use_errno=True)
def attempt(number, *args):
    result = libc.syscall(number, *args)
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
print({body}, flush=True)
"""


def attempt(body: str) -> tuple[int, str]:
    """Return exit status and output of a process that makes the calls `body` under the filter."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(body=body)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout.strip() or done.stderr


NEW_USER, NEW_PID, NEW_NET, NEW_MOUNT = 0x10000000, 0x20000000, 0x40000000, 0x20000


@pytest.mark.parametrize("flags", [NEW_USER, NEW_PID, NEW_NET, NEW_MOUNT, NEW_USER | NEW_MOUNT])
def test_no_process_gets_name_spaces_of_its_own(flags: int) -> None:
    assert attempt(f"attempt(numbers['clone'], {flags | signal.SIGCHLD}, 0, 0, 0, 0)") == (0, "EPERM")


def test_clone3_is_unknown_and_processes_and_threads_can_be_made() -> None:
    assert attempt("attempt(numbers['clone3'], 0, 0)") == (0, "ENOSYS")
    assert attempt("os.waitpid(os.fork() or os._exit(7), 0)[1] >> 8") == (0, "7")
    thread = "[t.start() or t.join() for t in [__import__('threading').Thread(target=print, args=('in',))]]"
    assert attempt(thread) == (0, "in\n[None]")


@pytest.mark.parametrize(
    "name",
    ["io_uring_enter", "io_uring_register", "migrate_pages", "kcmp", "process_madvise", "fanotify_mark"],
)
def test_what_nobody_needs_is_refused(name: str) -> None:
    assert attempt(f"attempt(numbers['{name}'], 0, 0, 0, 0, 0, 0)") == (0, "EPERM")


def test_calls_by_numbers_of_another_abi_end_the_process() -> None:
    # The number is that of x32's getpid; arm64 has no second ABI with the same machine word.
    status, said = attempt("attempt(0x40000000 + 39)")
    assert (status, said) in ((-signal.SIGSYS, ""), (0, "ENOSYS"))
