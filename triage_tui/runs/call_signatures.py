"""What a syscall is, independent of addresses, descriptors and time, so that runs can be compared."""

from __future__ import annotations

from collections.abc import Iterable

from triage_tui.runs.model import Syscall

BY_CHANCE = frozenset(
    [
        "brk", "mmap", "mmap2", "munmap", "mprotect", "madvise", "futex", "futex_time64", "sched_yield",
        "rt_sigreturn", "sigreturn", "gettimeofday", "time", "clock_gettime", "clock_gettime64",
    ]
)  # fmt: skip
"""Calls whose number depends on time and chance: they say nothing of how far a program got."""
SLEEPS = frozenset(("nanosleep", "clock_nanosleep", "clock_nanosleep_time64"))
"""Calls that only wait for a time."""


def subject(call: Syscall) -> str:
    """Return what `call` is and is about, whatever came of it: "openat(/etc/x.conf)", "read"."""
    about = call.path or call.peer or ""
    if call.request:
        about = f"{call.request} {call.interface}" if call.interface else call.request
    return f"{call.name}({about})" if about else call.name


def signature(call: Syscall) -> str:
    """Return what `call` is, independent of addresses, descriptors and time."""
    return f"{subject(call)} {call.errno or 'ok'}"


def signatures(calls: Iterable[Syscall]) -> dict[str, int]:
    """Return each signature and the sequence number of its first appearance, in order."""
    seen: dict[str, int] = {}
    for call in calls:
        seen.setdefault(signature(call), call.seq)
    return seen
