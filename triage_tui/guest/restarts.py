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
import ctypes
import errno
import os
import struct
from functools import cache
from typing import NamedTuple

from triage_tui.guest import host_syscalls, process
from triage_tui.guest.ptrace import Tracee

_SEIZE, _DETACH, _GET_REGISTERS, _SET_REGISTERS = 0x4206, 17, 0x4204, 0x4205
_NT_PRSTATUS = 1
_WAIT_ALL = 0x40000000
_INTERRUPTIBLE = (
    "epoll_wait epoll_pwait epoll_pwait2 semop semtimedop rt_sigtimedwait recvfrom recvmsg recvmmsg read "
    "readv sendto sendmsg sendmmsg write writev accept accept4 connect io_getevents io_pgetevents"
)
"""Calls that signal(7) names, and read and write for what they do on such sockets."""
_MAX_REGISTERS = 512


class _Layout(NamedTuple):
    """Where a host's registers are, as indices of 8-byte words (struct user_regs_struct, user_pt_regs)."""

    result: int
    pc: int
    instruction: bytes
    """The syscall instruction, which stands before the pc."""
    number: int | None
    """The register that takes the number again; None where another one still holds it."""


_LAYOUTS = {
    "x86_64": _Layout(10, 16, b"\x0f\x05", 15),
    "aarch64": _Layout(0, 32, b"\x01\x00\x00\xd4", None),
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


@cache
def _numbers() -> frozenset[int]:
    table = host_syscalls.numbers()
    return frozenset(table[name] for name in _INTERRUPTIBLE.split() if name in table)


class _IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def begin_again(pid: int) -> None:
    """Set the threads of a stopped process back to the calls that its stop has ended with EINTR."""
    layout = _LAYOUTS.get(host_syscalls.host_machine())
    if layout is None:
        return
    for tid in process.threads(pid):
        state = process.thread_state(pid, tid)
        if state is not None and state.state == "T" and state.syscall in _numbers():
            _begin_again(tid, layout)


def set_back(tracee: Tracee) -> None:
    """Set a traced thread that is about to stop back to the call that its stop has ended with EINTR.

    On arm64 it keeps the EINTR: nothing that a tracer sees tells the call's first argument any more.
    """
    layout = _LAYOUTS.get(host_syscalls.host_machine())
    if layout is None or layout.number is None:
        return
    words = tracee.read_registers()
    if words[layout.result] != -errno.EINTR & 0xFFFFFFFFFFFFFFFF or words[layout.number] not in _numbers():
        return
    at, instruction = tracee.instruction_before(words)
    with contextlib.suppress(OSError):
        if process.read_memory(tracee.tid, at, len(instruction)) == instruction:
            words[layout.pc] = at
            words[layout.result] = words[layout.number]
            tracee.write_registers(words)


def _begin_again(tid: int, layout: _Layout) -> None:
    # A thread that is gone, or that may not be traced, keeps what it has.
    if _libc.ptrace(_SEIZE, tid, None, None) < 0:
        return
    try:
        # Taking hold of a stopped thread makes it report that it is stopped.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(tid, _WAIT_ALL)
        buffer = ctypes.create_string_buffer(_MAX_REGISTERS)
        vector = _IoVector(ctypes.addressof(buffer), _MAX_REGISTERS)
        if _libc.ptrace(_GET_REGISTERS, tid, _NT_PRSTATUS, ctypes.addressof(vector)) < 0:
            return
        words = list(struct.unpack(f"={vector.length // 8}Q", buffer.raw[: vector.length // 8 * 8]))
        if words[layout.result] != -errno.EINTR & 0xFFFFFFFFFFFFFFFF:
            return
        at = words[layout.pc] - len(layout.instruction)
        with contextlib.suppress(OSError):
            if process.read_memory(tid, at, len(layout.instruction)) != layout.instruction:
                return
            words[layout.pc] = at
            words[layout.result] = _first_argument(tid) if layout.number is None else words[layout.number]
            ctypes.memmove(buffer, struct.pack(f"={len(words)}Q", *words), vector.length)
            _libc.ptrace(_SET_REGISTERS, tid, _NT_PRSTATUS, ctypes.addressof(vector))
    finally:
        _libc.ptrace(_DETACH, tid, None, None)


def _first_argument(tid: int) -> int:
    """Return the first argument of the call that a stopped thread is in (proc(5), /proc/pid/syscall)."""
    with open(f"/proc/{tid}/syscall", "rb") as file:
        return int(file.read().split()[1], 16)
