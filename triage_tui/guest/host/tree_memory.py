"""Bound the memory that a guest's processes use together.

Limits of the kernel (setrlimit(2)) count for one process, and a group of processes (cgroups(7)) of its own
cannot be had without rights. So the sum is looked at from time to time, and the process with the most is
killed while it is too much, which is what the kernel does when the machine's memory runs out.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from triage_tui.guest.host import process

_PERIOD_S = 0.5
_KIB = re.compile(rb"^(RssAnon|RssShmem|Pss_Anon|Pss_Shmem):\s+(\d+) kB", re.MULTILINE)


def machine_memory() -> int:
    """Return the machine's memory in bytes (MemTotal of proc_meminfo(5))."""
    words = Path("/proc/meminfo").read_text(encoding="ascii").split()
    return int(words[words.index("MemTotal:") + 1]) << 10


def _sum(pid: int, file: str) -> int:
    try:
        text = Path(f"/proc/{process.living_id(pid)}/{file}").read_bytes()
    except OSError:
        return 0
    return sum(int(amount) for _, amount in _KIB.findall(text)) << 10


class TreeMemory:
    """Watches one guest's memory."""

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes, for all processes together, their emulators included."""
        self._limit = limit
        self._next = 0.0

    def look(self, processes: Callable[[], list[int]]) -> str | None:
        """Kill the process with the most memory when all have too much; return what was done, one sentence.

        `processes` gives their host pids. Does nothing most of the time; call it often.
        """
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + _PERIOD_S
        living = processes()
        # Cheap, but what processes share after a fork is counted for each of them; so this is only a reason
        # to look closer, where every page is counted once.
        if sum(_sum(pid, "status") for pid in living) <= self._limit:
            return None
        shares = {pid: _sum(pid, "smaps_rollup") for pid in living}
        if sum(shares.values()) <= self._limit:
            return None
        victim = max(shares, key=lambda pid: shares[pid])
        inner = process.inner_pid(victim)
        process.send_signal(victim, signal.SIGKILL)
        return (
            f"the guest's processes used more than {self._limit >> 20} MiB of memory together: "
            f"process {inner} with {shares[victim] >> 20} MiB was killed"
        )
