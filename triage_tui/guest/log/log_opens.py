"""Notice that a guest has opened its emulator's log (inotify(7)).

A path in the guest's memory can change between a look at it and its use, and links lead anywhere. So what an
open is refused for is not the last word: the kernel tells of every one that reached a log.
"""

from __future__ import annotations

import os
import struct

from triage_tui.guest.host.libc import libc

_IN_OPEN = 0x20
_EVENT = struct.Struct("=iIII")


class LogOpens:
    """Watches logs for being opened once more."""

    def __init__(self) -> None:
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.works = self._fd >= 0
        """Whether all logs so far are watched; a user may have only so many watches."""

    def watch(self, fd: int) -> None:
        """Watch the file behind `fd` from now on, until it is gone."""
        path = b"/proc/self/fd/%d" % fd
        if self._fd < 0 or libc.inotify_add_watch(self._fd, path, _IN_OPEN) < 0:
            self.works = False

    def happened(self) -> bool:
        """Return whether a log was opened since the last question."""
        if self._fd < 0:
            return False
        opened = False
        while True:
            try:
                data = os.read(self._fd, 4096)
            except BlockingIOError:
                return opened
            # Of a file there are no names, so all events have one size.
            opened |= any(mask & _IN_OPEN for _watch, mask, _cookie, _size in _EVENT.iter_unpack(data))

    def close(self) -> None:
        """Watch no more. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
