"""Begin calls again that ended with EINTR because their thread was stopped.

The kernel itself begins most interrupted calls again after a stop, but not all: epoll_wait, semop,
sigtimedwait and, on a socket with a timeout of its own, recv, send, accept and connect give EINTR to the
program although no handler ran (signal(7)). While the thread is still stopped its host registers show
exactly that, so they are set back to the call's instruction, as the kernel does for the others
(ptrace(2), PTRACE_SEIZE). A timeout of the call counts from its new beginning.

QEMU's own signal handling is not disturbed: the instruction lies in its `safe_syscall`, which rewinds from
any place in it when a signal comes (linux-user/safe-syscall.inc.S).
"""

from __future__ import annotations

import contextlib
import errno
import os
from functools import cache

from triage_tui.guest.host import host_memory, host_syscalls, process
from triage_tui.guest.host.ptrace import Tracee, TraceeGone

_WAIT_ALL = 0x40000000
_INTERRUPTIBLE = (
    "epoll_wait epoll_pwait epoll_pwait2 semop semtimedop rt_sigtimedwait recvfrom recvmsg recvmmsg read "
    "readv sendto sendmsg sendmmsg write writev accept accept4 connect io_getevents io_pgetevents"
)
"""Calls that signal(7) names, and read and write for what they do on such sockets."""


@cache
def _numbers() -> frozenset[int]:
    table = host_syscalls.numbers()
    return frozenset(table[name] for name in _INTERRUPTIBLE.split() if name in table)


def begin_again(pid: int) -> None:
    """Set the threads of a stopped process back to the calls that its stop has ended with EINTR."""
    for tid in process.threads(pid):
        state = process.thread_state(pid, tid)
        if state is None or state.state != "T" or state.syscall not in _numbers():
            continue
        # A thread that is gone, or that may not be traced, keeps what it has.
        with contextlib.suppress(OSError, TraceeGone):
            tracee = Tracee(tid)
            try:
                # Taking hold of a stopped thread makes it report that it is stopped.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(tid, _WAIT_ALL)
                set_back(tracee, _first_argument(tid))
            finally:
                tracee.let_go()


def set_back_stopped(tracee: Tracee) -> None:
    """Set a thread that stands in a ptrace stop back to the call that this has ended with EINTR.

    Raises:
        OSError: it cannot be looked at.
        TraceeGone: it was killed.
    """
    with open(f"/proc/{tracee.tid}/syscall", "rb") as file:
        number, *arguments = file.read().split()
    if number.lstrip(b"-").isdigit() and int(number) in _numbers():
        set_back(tracee, int(arguments[0], 16))


def set_back(tracee: Tracee, first_argument: int | None = None) -> None:
    """Set a traced thread that has stopped, or is about to, back to the call that its stop has ended with
    EINTR.

    On arm64 the result has taken the place of `first_argument`: without it the thread keeps its EINTR.
    """
    words = tracee.read_registers()
    number, arguments = tracee.held_call(words)
    if tracee.result(words) != -errno.EINTR or number not in _numbers():
        return
    if tracee.result_hides_argument:
        if first_argument is None:
            return
        arguments = (first_argument, *arguments[1:])
    at, instruction = tracee.instruction_before(words)
    with contextlib.suppress(OSError):
        if host_memory.read_memory(tracee.tid, at, len(instruction)) == instruction:
            tracee.write_registers(tracee.with_call(words, number, arguments))


def _first_argument(tid: int) -> int:
    """Return the first argument of the call that a stopped thread is in (proc(5), /proc/pid/syscall)."""
    with open(f"/proc/{tid}/syscall", "rb") as file:
        return int(file.read().split()[1], 16)
