"""Child processes of a set-up end with it, also when it is killed."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def ends_with_us() -> Callable[[], None]:
    """Return a `preexec_fn` for subprocess: the kernel ends that child when this process ends (prctl(2)).

    A downloader that goes on would hold its lock against the next set-up.
    """
    us = os.getpid()

    def in_child() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != us:
            # We were gone before it could be asked for.
            os._exit(1)

    return in_child
