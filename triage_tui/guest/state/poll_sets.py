"""Say what a thread that is blocked in poll(2) or ppoll(2) waits for."""

from __future__ import annotations

import struct

from triage_tui.guest.arch import Arch

CALLS = frozenset(("poll", "ppoll", "ppoll_time64"))
SIZE = 8
"""Bytes of struct pollfd, on all machines."""
MOST = 64
"""Descriptors that are shown."""
_EVENTS = {
    0x1: "POLLIN", 0x2: "POLLPRI", 0x4: "POLLOUT", 0x8: "POLLERR", 0x10: "POLLHUP", 0x20: "POLLNVAL",
    0x40: "POLLRDNORM", 0x80: "POLLRDBAND", 0x400: "POLLMSG", 0x2000: "POLLRDHUP",
}  # fmt: skip
"""asm-generic/poll.h; those of POLLWRNORM and POLLWRBAND are not the same on all machines."""


def poll_set(arch: Arch, data: bytes, count: int) -> str:
    """Return an array of `count` struct pollfd in words, of which `data` are the first ones.

    "[{fd=3, events=POLLIN}, {fd=-1, events=0}]", as strace(1) has it.
    """
    order = "<" if arch.endian == "little" else ">"
    shown = [
        f"{{fd={fd}, events={_names(events)}}}"
        for fd, events, _returned in struct.iter_unpack(order + "iHH", data[: len(data) // SIZE * SIZE])
    ]
    return f"[{', '.join(shown)}{', ...' if len(shown) < count else ''}]"


def _names(events: int) -> str:
    found = [name for bit, name in _EVENTS.items() if events & bit]
    rest = events & ~sum(_EVENTS)
    return "|".join(found + ([hex(rest)] if rest or not found else [])).replace("0x0", "0")
