"""Install seccomp filters on this process (seccomp(2)). The launcher imports this module: it uses little."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

from triage_tui.guest.host import host_syscalls
from triage_tui.guest.host.libc import checked, libc

_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER, _FLAG_WAIT_KILLABLE = 1 << 3, 1 << 5
_PR_SET_NO_NEW_PRIVS, _PR_GET_SECCOMP = 38, 21


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(code: bytes) -> int:
    """Install `code` on this process and its children; return the listener descriptor.

    Raises:
        OSError: the kernel refuses (too old, or another listener is in the way: EBUSY).
    """
    return _install(code, (_FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE, _FLAG_NEW_LISTENER))


def install_traced(code: bytes) -> None:
    """Install `code`, made with `TRACE`, on this process and its children, which are traced already.

    Raises:
        OSError: the kernel refuses.
    """
    _install(code, (0,))


def _install(code: bytes, choices: Iterable[int]) -> int:
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_program = _FilterProgram(len(code) // 8, ctypes.addressof(buffer))
    checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
    number = host_syscalls.numbers()["seccomp"]
    for flags in choices:
        fd: int = libc.syscall(number, _SET_MODE_FILTER, flags, ctypes.byref(filter_program))
        if fd >= 0:
            return fd
        if ctypes.get_errno() != errno.EINVAL:
            break
    number = ctypes.get_errno()
    raise OSError(number, f"seccomp(SECCOMP_SET_MODE_FILTER): {os.strerror(number)}")


def check_add_fd() -> None:
    """Ask whether the kernel can give descriptors to a notified process (5.9).

    Raises:
        OSError: ENOSYS, it cannot, so that notifications are no use here.
    """
    first, _, rest = os.uname().release.partition(".")
    if (_number(first), _number(rest)) < (5, 9):
        raise OSError(errno.ENOSYS, "the kernel is older than 5.9")


def _number(text: str) -> int:
    """Return the number that a text begins with, 0 for none."""
    digits = text[: next((at for at, sign in enumerate(text) if not sign.isdigit()), len(text))]
    return int(digits or 0)


def surely_has_listener() -> bool:
    """Tell whether this process and its children will get a listener when they ask for one.

    So it is where the kernel knows of them and no filter is on this process yet: of another program that
    listens, there would be one.
    """
    try:
        check_add_fd()
        return libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) == 0 and _knows(_FLAG_NEW_LISTENER)
    except OSError:
        return False


def _knows(flags: int) -> bool:
    # Flags are looked at before the program, which is nowhere: EFAULT means that they are known.
    libc.syscall(host_syscalls.numbers()["seccomp"], _SET_MODE_FILTER, flags, None)
    return ctypes.get_errno() == errno.EFAULT


def check_wait_killable() -> None:
    """Ask the kernel for a listener whose threads wait undisturbed by signals, and install nothing.

    Raises:
        OSError: the kernel (before 5.19) has none; a signal may then interrupt a call that is being decided.
    """
    if not _knows(_FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
