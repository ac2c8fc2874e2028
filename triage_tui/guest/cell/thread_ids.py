"""Which id the next process or thread of a cell gets. Standard library only: the launcher imports it.

The kernel gives ids in their order (pid_namespaces(7)), so that a thread that does nothing takes one away.
"""

from __future__ import annotations

import errno
import os
import threading

MOST = 40_000
"""Ids that are taken away at most: more than there are by default (proc(5), pid_max)."""


def open_last() -> int:
    """Return a descriptor that `last_id` reads, to be opened where /proc is."""
    return os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)


def last_id(descriptor: int) -> int:
    """Return the id that was given last in this process's name space (proc(5), "/proc/loadavg").

    Raises:
        OSError, ValueError, IndexError: the kernel does not tell.
    """
    return int(os.pread(descriptor, 256, 0).split()[-1])


def given_last(descriptor: int) -> int:
    """Return the same, or a negative errno where the kernel does not tell."""
    try:
        return last_id(descriptor)
    except (OSError, ValueError, IndexError):
        return -errno.EIO


def reach(descriptor: int, wanted: int) -> int:
    """Take ids away until the next one is `wanted`; 0, or a negative errno where it was given already."""
    try:
        last = last_id(descriptor)
        if not 0 <= wanted - last - 1 <= MOST:
            return -errno.ERANGE
        while last < wanted - 1:
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()
            last = last_id(descriptor)
    except (OSError, ValueError, IndexError, RuntimeError):
        return -errno.EIO
    return 0 if last == wanted - 1 else -errno.ERANGE
