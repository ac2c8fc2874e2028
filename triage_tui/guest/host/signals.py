"""Signals by name. Names, unlike numbers, are the same for guest and host."""

from __future__ import annotations

import signal

_FIRST_REAL_TIME = 32


def signal_name(number: int) -> str:
    """Return the name of a host signal; real-time ones are "SIGRT0" (the kernel's first, 32) and on."""
    if _FIRST_REAL_TIME <= number <= 64:
        return f"SIGRT{number - _FIRST_REAL_TIME}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def signals_of_mask(mask: int) -> list[str]:
    """Return the names of the signals in a mask as proc(5) shows them: bit 0 is signal 1."""
    return [signal_name(number) for number in range(1, 65) if mask >> (number - 1) & 1]
