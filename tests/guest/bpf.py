"""Run a seccomp filter as the kernel does, for tests (linux/filter.h, kernel/seccomp.c)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def verdict(code: bytes, arch: int, number: int, arguments: Sequence[int] = ()) -> int:
    """Return what the filter says of a call."""
    values = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, arch, 0, *(value & 0xFFFF_FFFF_FFFF_FFFF for value in values))
    result, _loads = _run(code, data)
    return result


def is_left_out(code: bytes, arch: int, number: int) -> bool:
    """Return whether the kernel allows `number` without running the filter: seccomp_is_const_allow."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *[0] * 6)
    result, loads = _run(code, data)
    return result == ALLOW and loads <= {0, 4}


def _run(code: bytes, data: bytes) -> tuple[int, set[int]]:
    """Return the verdict, and the offsets of what was loaded for it."""
    program = list(struct.iter_unpack("<HBBI", code))
    accumulator, at, loads = 0, 0, set()
    while True:
        kind, when_true, when_false, value = program[at]
        at += 1
        if kind == 0x20:
            loads.add(value)
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif kind == 0x54:
            accumulator &= value
        elif kind == 0x05:
            at += value
        elif kind == 0x06:
            return value, loads
        else:
            is_so = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[kind]
            at += when_true if is_so else when_false
