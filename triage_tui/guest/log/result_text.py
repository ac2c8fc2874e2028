"""Read the result of a call as QEMU's system call log writes it (print_syscall_ret, linux-user/strace.c)."""

from __future__ import annotations

import re

import msgspec

_ERROR_RESULT = re.compile(rb"-1 errno=(\d{1,6})")
_INTERNAL = range(512, 532)
"""include/linux/errno.h, and QEMU_ERESTARTSYS and QEMU_ESIGRETURN of linux-user."""
_MAX_ERRNO = 4095
"""include/linux/err.h."""
_NUMBER_RESULT = re.compile(rb"0x([0-9a-fA-F]{1,16})|(-?\d{1,20})")


class Result(msgspec.Struct, frozen=True):
    """A call's result in guest terms: `value` (negative errno on failure), and the error's number if any."""

    value: int | None
    error: int | None


def parse_result(text: bytes) -> Result:
    """Read what stands after " = ": decimal, hexadecimal, or `-1 errno=N (text)`.

    Numbers from 512 on are the kernel's and QEMU's own (a return from a signal handler): no result. Behind
    them are errors again, of which MIPS has one, up to the largest; QEMU shows what is behind it as one, too.
    """
    if text == b"ENOSYS":
        return Result(None, None)
    found = _ERROR_RESULT.match(text)
    if found:
        number = int(found[1])
        if number in _INTERNAL:
            return Result(None, None)
        return Result(-number, number if number <= _MAX_ERRNO else None)
    found = _NUMBER_RESULT.match(text)
    if not found:
        return Result(None, None)
    return Result(int(found[1], 16) if found[1] else int(found[2]), None)


def parse_failure(text: bytes) -> int | None:
    """Return the guest's error number of a piece of the log that says a call failed, None for any other."""
    found = _ERROR_RESULT.match(text)
    return int(found[1]) if found else None
