"""The C library, for calls that Python has no name for; standard library only."""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
_PIDFD_GETFD = 438


def checked(result: int, what: str) -> int:
    """Return what the call `what` gave.

    Raises:
        OSError: it failed, with the thread's errno.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def duplicate(handle: int, fd: int) -> int:
    """Return a duplicate of the descriptor `fd` of the process behind the pidfd `handle` (pidfd_getfd(2)).

    Raises:
        OSError: there is none, or it may not be taken.
    """
    return checked(libc.syscall(_PIDFD_GETFD, handle, fd, 0), "pidfd_getfd")
