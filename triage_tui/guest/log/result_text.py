"""Read the result of a call as QEMU's system call log writes it (print_syscall_ret, linux-user/strace.c)."""

from __future__ import annotations

import re

import msgspec

_ERROR_RESULT = re.compile(rb"-1 errno=(\d{1,6})")
_NUMBER_RESULT = re.compile(rb"0x([0-9a-fA-F]{1,16})|(-?\d{1,20})")


class Result(msgspec.Struct, frozen=True):
    """A call's result in guest terms: `value` (negative errno on failure), and the error's number if any."""

    value: int | None
    error: int | None


def parse_result(text: bytes) -> Result:
    """Read what stands after " = ": decimal, hexadecimal, or `-1 errno=N (text)`.

    `errno=512` and above are QEMU's own (a return from a signal handler): no result.
    """
    if text == b"ENOSYS":
        return Result(None, None)
    found = _ERROR_RESULT.match(text)
    if found:
        number = int(found[1])
        return Result(None, None) if number >= 512 else Result(-number, number)
    found = _NUMBER_RESULT.match(text)
    if not found:
        return Result(None, None)
    return Result(int(found[1], 16) if found[1] else int(found[2]), None)


def parse_failure(text: bytes) -> int | None:
    """Return the guest's error number of a piece of the log that says a call failed, None for any other."""
    found = _ERROR_RESULT.match(text)
    return int(found[1]) if found else None
