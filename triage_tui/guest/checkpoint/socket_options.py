"""What setsockopt(2) has set on a socket, and how a new one gets the same.

A duplicate of the socket is asked and set (`state.sockets.take`), so that the emulator need not know the
option, and every architecture has the same numbers: the host's.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

from triage_tui.errors import TriageError
from triage_tui.guest.checkpoint.model import SocketOption

MOST_BYTES = 64
"""Bytes of one option."""
# Linux, <asm-generic/socket.h>, <linux/in.h>, <linux/in6.h>, <linux/tcp.h>. What an option needs set before
# it comes first, and so does what counts when the socket gets its address.
_NAMES = {
    socket.SOL_SOCKET: (25, 15, 5, 6, 9, 10, 12, 13, 16, 18, 20, 21, 29, 35),
    socket.IPPROTO_IP: (15, 1, 2, 8, 10, 11, 12, 13, 32, 33, 34),
    socket.IPPROTO_IPV6: (16, 17, 18, 19, 25, 49, 51, 66, 67),
    socket.IPPROTO_TCP: (1, 4, 5, 6, 9, 18),
}
"""Level -> options: of all sockets the device they are bound to, SO_REUSEPORT, SO_BROADCAST and timeouts."""
_LEVELS = {
    socket.AF_UNIX: (socket.SOL_SOCKET,),
    socket.AF_INET: (socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_TCP),
    socket.AF_INET6: (socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.IPPROTO_TCP),
}
_SIZES = {(socket.SOL_SOCKET, name) for name in (7, 8)}
"""SO_SNDBUF and SO_RCVBUF: the kernel tells twice what was set, socket(7)."""


def is_known(option: SocketOption) -> bool:
    """Return whether an option is one that is read here, with a value that may be."""
    size = len(option.value) // 2
    place = option.level, option.name
    return (option.name in _NAMES.get(option.level, ()) or place in _SIZES) and size <= MOST_BYTES


def read_options(taken: socket.socket) -> list[SocketOption]:
    """Return the options of a socket that a fresh one of its kind has not."""
    found: list[SocketOption] = []
    with _fresh(taken) as fresh:
        for level in _LEVELS.get(taken.family, ()):
            for name in (*_NAMES[level], *(name for place, name in sorted(_SIZES) if place == level)):
                value = _value(taken, level, name)
                if value is not None and (fresh is None or value != _value(fresh, level, name)):
                    found.append(SocketOption(level, name, value.hex()))
    return found


@contextlib.contextmanager
def _fresh(taken: socket.socket) -> Iterator[socket.socket | None]:
    """Give a new socket of the same kind, None where there is none to be had."""
    try:
        made = socket.socket(taken.family, taken.type, taken.proto)
    except OSError:
        yield None
        return
    with made:
        yield made


def _value(one: socket.socket, level: int, name: int) -> bytes | None:
    with contextlib.suppress(OSError):
        return one.getsockopt(level, name, MOST_BYTES)
    return None


def set_options(taken: socket.socket, options: list[SocketOption]) -> None:
    """Give a new socket the options of the one of a checkpoint.

    Raises:
        TriageError: one of them cannot be set.
    """
    for option in options:
        value = bytes.fromhex(option.value)
        if _value(taken, option.level, option.name) == value:
            continue
        if (option.level, option.name) in _SIZES:
            value = (int.from_bytes(value, sys.byteorder) // 2).to_bytes(4, sys.byteorder)
        try:
            taken.setsockopt(option.level, option.name, value)
        except OSError as error:
            which = f"option {option.name} of level {option.level} of a socket"
            raise TriageError(f"{which} cannot be set again: {error.strerror}") from None
