"""Bound how many processes and threads a guest has, where the kernel's limit does not hold for all of it.

RLIMIT_NPROC counts for each user id, and not at all for the host's root. `namespaces.make_user_namespace` has
the kernel count for a whole guest; this is for the cells for which that cannot be had. Each call that makes a
process or a thread is held, so it is counted before it is made, one after the other. What ends is found out
only when there seem to be too many.
"""

from __future__ import annotations

from collections.abc import Callable

from triage_tui.guest.cell import policy
from triage_tui.guest.host import host_syscalls, process

_FORKS = frozenset(host_syscalls.numbers().get(name, -1) for name in policy.FORKS)


class ProcessLimit:
    """Counts for one guest."""

    def __init__(self, most: int) -> None:
        """`most` is how many processes and threads there may be at a time, the emulators' own included."""
        self._most = most
        self._count = most
        """There are no more than this; how many there are at first is not known."""
        self._making: set[int] = set()
        """Threads whose call may not have been executed yet."""

    def admits(self, tid: int, processes: Callable[[], list[int]]) -> bool:
        """Return whether the held thread `tid` may make one more; it is counted then.

        `processes` gives the host pids of all that live.

        Raises:
            OSError: how many there are cannot be told.
        """
        self._making.discard(tid)
        if self._count >= self._most:
            # In this order: what is made in between is counted twice rather than not at all.
            self._making = {other for other in self._making if _may_be_forking(other)}
            living = sum(len(process.threads(pid)) for pid in processes())
            self._count = living + len(self._making)
            if self._count >= self._most:
                return False
        self._count += 1
        self._making.add(tid)
        return True


def _may_be_forking(tid: int) -> bool:
    """Return whether a thread that was let go in such a call may still be in it."""
    state = process.thread_state(tid, tid)
    if state is None or state.state in "ZX":
        return False
    # None: it runs, and the kernel does not say where.
    return state.syscall is None or state.syscall in _FORKS
