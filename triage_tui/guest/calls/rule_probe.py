"""Requests that rules make to the guest's own service: sent in the guest's network, their answers dropped.

This is SFEmu's c_async_probe_http: it wakes a server that waits, and tells nobody what came of it. Whether a
service is well is asked elsewhere, before a loop counts as a failure.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable

PORTS = (80, 443)
"""Tried in this order; the first that takes the connection gets the request."""
_MOST_AT_ONCE = 4
_MOST_ANSWER = 1 << 20


class RuleProbes:
    """The requests under way; a thread each, which ends by its time limit whatever the guest does."""

    def __init__(self) -> None:
        self._room = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def start(self, open_socket: Callable[[], int], address: str, timeout: float, payload: bytes) -> int:
        """Send `payload` to the IPv4 `address` in the background; return 0 or a negative host errno.

        `open_socket` returns a descriptor of a new TCP socket in the guest's network, or a negative errno; it
        is called before this returns, in the caller's thread.
        """
        if not self._room.acquire(blocking=False):
            return -errno.EAGAIN
        sockets: list[socket.socket] = []
        for _ in PORTS:
            fd = open_socket()
            if fd < 0:
                _close(sockets)
                self._room.release()
                return fd
            sockets.append(socket.socket(fileno=fd))
        threading.Thread(target=self._ask, args=(sockets, address, timeout, payload), daemon=True).start()
        return 0

    def _ask(self, sockets: list[socket.socket], address: str, timeout: float, payload: bytes) -> None:
        try:
            for port, connection in zip(PORTS, sockets, strict=True):
                with contextlib.suppress(OSError):
                    connection.settimeout(timeout)
                    connection.connect((address, port))
                    connection.sendall(payload)
                    received = 0
                    while received < _MOST_ANSWER and (data := connection.recv(65536)):
                        received += len(data)
                    return
        finally:
            _close(sockets)
            self._room.release()


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()
