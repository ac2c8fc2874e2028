"""Have a traced thread that stands in front of a call make others of its own first.

By ptrace(2), for `triage_tui.guest.calls.tracer`; as there, nothing may be imported or opened when it is
used.
"""

from __future__ import annotations

import array
import ctypes
import errno
import os
import signal
import socket
import struct
from collections.abc import Callable

from triage_tui.guest.host import host_memory
from triage_tui.guest.host.libc import duplicate, libc
from triage_tui.guest.host.ptrace import Tracee, TraceeGone, request

CONT, SYSCALL = 7, 24
"""How a stopped thread goes on: to the next event, or to the next entry or exit of a call as well."""
EVENT_SECCOMP, EVENT_STOP = 7, 128
SYSCALL_STOP = signal.SIGTRAP | 0x80
STOP_SIGNALS = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))

_RED_ZONE = 256
"""Bytes below the stack pointer that compilers may use (System V psABI: 128 on x86-64)."""
_MESSAGE = struct.Struct("=QI4xQQQQI4x")
"""struct msghdr."""
_CONTROL = 24
"""CMSG_SPACE(sizeof(int))."""


class _IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def _write_memory(tid: int, address: int, data: bytes) -> None:
    """Write where a thread may write itself. The /proc that `host_memory` uses is not the host's."""
    buffer = ctypes.create_string_buffer(data, len(data))
    local = _IoVector(ctypes.addressof(buffer), len(data))
    remote = _IoVector(address, len(data))
    written = libc.process_vm_writev(
        tid,
        ctypes.byref(local),
        ctypes.c_ulong(1),
        ctypes.byref(remote),
        ctypes.c_ulong(1),
        ctypes.c_ulong(0),
    )
    if written != len(data):
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))


class Calls:
    """Have a thread that stands at the entry of a call make others first, undisturbed by signals."""

    def __init__(self, tracee: Tracee, words: list[int], await_stop: Callable[[int], int]) -> None:
        """Take the thread, whose registers are `words`; `await_stop` gives its next wait status."""
        self._await_stop = await_stop
        self._tracee = tracee
        self._words = words
        self._held = tracee.held_call(words)
        self._after = False
        self._stops: list[int] = []
        self._mask = 0
        self.place = (tracee.stack_pointer(words) - _RED_ZONE - 256) & ~15
        """Up to 256 bytes of its memory that may be written."""

    def __enter__(self) -> Calls:
        self._mask = self._tracee.hold_signals()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is TraceeGone:
            return
        tracee = self._tracee
        if self._after:
            # It makes its own call again, and comes to the same stop.
            tracee.write_registers(tracee.with_call(self._words, *self._held))
            self._go_to(CONT, lambda event, _which: event == EVENT_SECCOMP)
        tracee.set_signal_mask(self._mask)
        for which in self._stops:
            os.kill(tracee.tid, which)

    def put(self, data: bytes) -> None:
        """Write at `place`."""
        _write_memory(self._tracee.tid, self.place, data)

    def take(self, size: int) -> bytes:
        """Read from `place`."""
        return host_memory.read_memory(self._tracee.tid, self.place, size)

    def make(self, number: int, arguments: tuple[int, ...]) -> int:
        """Make a call; return its result."""
        tracee = self._tracee
        if self._after:
            tracee.write_registers(tracee.with_call(self._words, number, arguments))
            self._go_to(SYSCALL, lambda event, which: not event and which == SYSCALL_STOP)
        else:
            tracee.replace_held(self._words, number, arguments)
        self._after = True
        self._go_to(SYSCALL, lambda event, which: not event and which == SYSCALL_STOP)
        return tracee.result(tracee.read_registers())

    def _go_to(self, how: int, wanted: Callable[[int, int], bool]) -> None:
        """Let the thread go on to the wanted kind of stop."""
        tid = self._tracee.tid
        while True:
            request(how, tid)
            status = self._await_stop(tid)
            event, which = status >> 16, os.WSTOPSIG(status)
            if wanted(event, which):
                return
            if event in (0, EVENT_STOP) and which in STOP_SIGNALS:
                # It cannot be held off, so it is sent again afterwards.
                self._stops.append(which)


def receive_descriptor(
    calls: Calls, numbers: dict[str, int], pid: int, fd: int, wanted: int | None, cloexec: bool
) -> int:
    """Have a thread of the process `pid` receive a duplicate of our `fd`; return its number or an errno.

    The thread makes a pair of sockets, of which we take one end (pidfd_getfd(2), Linux 5.6) and send it over.
    """

    def close(number: int) -> None:
        calls.make(numbers["close"], (number, 0, 0, 0, 0, 0))

    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
    made = calls.make(numbers["socketpair"], (socket.AF_UNIX, kind, 0, calls.place, 0, 0))
    if made < 0:
        return made
    ours, theirs = struct.unpack("=ii", calls.take(8))
    try:
        _send_into(pid, theirs, fd)
        place = calls.place
        vector = place + _MESSAGE.size
        control = vector + 16 + 8
        message = _MESSAGE.pack(0, 0, vector, 1, control, _CONTROL, 0)
        calls.put(message + struct.pack("=QQ", vector + 16, 1) + bytes(8 + _CONTROL))
        # MSG_DONTWAIT, MSG_CMSG_CLOEXEC
        received = calls.make(numbers["recvmsg"], (ours, place, 0x40 | 0x40000000, 0, 0, 0))
        if received < 0:
            return received
        after = calls.take(control - place + _CONTROL)
        if _MESSAGE.unpack_from(after)[5] < 20:
            return -errno.EMFILE
        number: int = struct.unpack_from("=i", after, control - place + 16)[0]
    finally:
        close(theirs)
        close(ours)
    if wanted is None:
        # The lowest number that is free now, as an open would get.
        how = 1030 if cloexec else 0  # F_DUPFD_CLOEXEC, F_DUPFD
        result = calls.make(numbers["fcntl"], (number, how, 0, 0, 0, 0))
    elif number == wanted:
        if not cloexec:
            calls.make(numbers["fcntl"], (number, 2, 0, 0, 0, 0))  # F_SETFD
        return number
    else:
        result = calls.make(numbers["dup3"], (number, wanted, os.O_CLOEXEC if cloexec else 0, 0, 0, 0))
    close(number)
    return result


def _send_into(pid: int, number: int, fd: int) -> None:
    """Send `fd` over the socket that the process `pid` has as `number`."""
    handle = os.pidfd_open(pid)
    try:
        taken = duplicate(handle, number)
    finally:
        os.close(handle)
    with socket.socket(fileno=taken, family=socket.AF_UNIX, type=socket.SOCK_DGRAM) as end:
        rights = array.array("i", [fd])
        end.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
