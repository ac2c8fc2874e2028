"""What a guest's new descriptors hold, set from outside: duplicates of them are taken out of its process
(pidfd_getfd(2)), so that the emulator need not know of it, and every architecture is the same."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Iterator

from triage_tui.errors import TriageError
from triage_tui.guest.checkpoint.model import SocketOption, Timer
from triage_tui.guest.checkpoint.socket_options import set_options
from triage_tui.guest.host.libc import checked, duplicate, libc
from triage_tui.guest.state import sockets

_F_GETPIPE_SZ, _F_SETPIPE_SZ = 1032, 1031
_TFD_IOC_SET_TICKS = 0x40085400
"""<linux/timerfd.h>"""
_INOTIFY_IOC_SETNEXTWD = 0x40044900
"""<linux/inotify.h>"""
_SECOND = 1_000_000_000


@contextlib.contextmanager
def _socket(pid: int, fd: int) -> Iterator[socket.socket]:
    with sockets.process_handle(pid) as handle, sockets.take(handle, fd) as taken:
        yield taken


@contextlib.contextmanager
def _duplicate(pid: int, fd: int) -> Iterator[int]:
    with sockets.process_handle(pid) as handle:
        own = duplicate(handle, fd)
    try:
        yield own
    finally:
        os.close(own)


def set_socket(pid: int, fd: int, options: list[SocketOption]) -> None:
    """Set the options of the socket `fd` of a process.

    Raises:
        TriageError: one cannot be set.
        OSError: there is no such socket.
    """
    if options:
        with _socket(pid, fd) as taken:
            set_options(taken, options)


def send(pid: int, fd: int, messages: list[bytes]) -> None:
    """Have the socket at the other end of the pair that `fd` is one end of get messages.

    Raises:
        TriageError: they do not fit.
        OSError: there is no such socket.
    """
    if not messages:
        return
    with _socket(pid, fd) as taken:
        for message in messages:
            try:
                sent = taken.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                sent = -1
            if sent != len(message):
                raise TriageError("what was unread in a local socket does not fit into a new one")


def set_timer(pid: int, fd: int, timer: Timer) -> None:
    """Have the timer `fd` of a process run on.

    Raises:
        TriageError: that cannot be had.
        OSError: there is no such descriptor.
    """
    left = timer.left_ns
    if timer.ticks == 1 and not left and not timer.interval_ns:
        # It has expired: a new one does, too.
        left = 1
    values = struct.pack("=4q", *divmod(timer.interval_ns, _SECOND), *divmod(left, _SECOND))
    with _duplicate(pid, fd) as own:
        try:
            checked(libc.timerfd_settime(own, 0, values, None), "timerfd_settime")
            if timer.ticks and left == timer.left_ns:
                fcntl.ioctl(own, _TFD_IOC_SET_TICKS, struct.pack("=Q", timer.ticks))
        except OSError as error:
            raise TriageError(f"a timer cannot be set again: {error.strerror}") from None


def unread_bytes(pid: int, fd: int) -> int:
    """Return how many bytes can be read of the descriptor `fd` of a process (ioctl FIONREAD).

    Raises:
        OSError: there is no such descriptor, or that cannot be told of it.
    """
    with _duplicate(pid, fd) as own:
        return _unread(own)


def drop_unread(pid: int, fd: int) -> None:
    """Read what can be read of the descriptor `fd` of a process, for nobody.

    Raises:
        OSError: there is no such descriptor, or that cannot be told of it.
    """
    with _duplicate(pid, fd) as own:
        if size := _unread(own):
            os.read(own, size)


def _unread(own: int) -> int:
    return int.from_bytes(fcntl.ioctl(own, termios.FIONREAD, bytes(4)), sys.byteorder)


def number_next(pid: int, fd: int, number: int) -> None:
    """Have the next watch that the inotify instance `fd` of a process is given get this number.

    Raises:
        TriageError: that cannot be had.
        OSError: there is no such descriptor.
    """
    with _duplicate(pid, fd) as own:
        try:
            fcntl.ioctl(own, _INOTIFY_IOC_SETNEXTWD, number)
        except OSError as error:
            raise TriageError(f"a watch cannot have its number again: {error.strerror}") from None


def fill_pipe(pid: int, fd: int, data: bytes, size: int) -> None:
    """Put back what was in a pipe of `size` bytes, whose write end is `fd`.

    Raises:
        TriageError: it does not fit.
        OSError: there is no such pipe.
    """
    pipe = os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if size and fcntl.fcntl(pipe, _F_GETPIPE_SZ) != size:
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, size)
        written = 0
        with contextlib.suppress(BlockingIOError):
            while written < len(data):
                written += os.write(pipe, data[written:])
        if written < len(data):
            raise TriageError("what was in a pipe does not fit into a new one")
    finally:
        os.close(pipe)
