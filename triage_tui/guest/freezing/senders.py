"""Who sent a signal: the guest's own calls tell."""

from __future__ import annotations

from collections.abc import Iterable

from triage_tui.runs.model import Syscall

_SENDS = {"kill": 1, "tkill": 1, "tgkill": 2, "rt_sigqueueinfo": 1, "rt_tgsigqueueinfo": 2}
"""Call that sends a signal -> which of its arguments is the signal; the first is the process."""


def number_of(text: str) -> int | None:
    """Return an argument of a call as a signed number of 32 bits, None where it is none."""
    try:
        value = int(text, 0)
    except ValueError:
        return None
    return value - (1 << 32) if 1 << 31 <= value < 1 << 32 else value


def sender_of(history: Iterable[Syscall], pid: int, signal: str, number: int) -> Syscall | None:
    """Return the last call that sent the process `pid` the signal; both are as the guest sees them.

    `number` is that of the signal, for calls whose arguments are known as numbers only. A call that named
    the process is preferred to one that was for a group or for all.
    """
    to_group: Syscall | None = None
    for call in reversed(list(history)):
        place = _SENDS.get(call.name)
        if place is None or call.errno or len(call.arguments) <= place:
            continue
        sent = call.arguments[place]
        if sent != signal and number_of(sent) != number:
            continue
        whom = number_of(call.arguments[0])
        if whom == pid:
            return call
        if to_group is None and whom is not None and whom <= 0:
            to_group = call
    return to_group
