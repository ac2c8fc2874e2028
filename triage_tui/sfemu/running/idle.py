"""See when a guest computes without a call, as SFEmu's watchdog does.

No call for a while; then the pc is sampled, every tenth of that while but every 50 ms at most and every 500
ms at least. The samples must show a sequence of up to 16 that comes three times. Sixteen samples with twelve
or more different ones are progress, and after a report there is a second of rest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.guest.host import process
from triage_tui.sfemu.running import messages

if TYPE_CHECKING:
    from triage_tui.guest.supervisor import Guest

_LONGEST, _REPEATS = 16, 3
_KEPT = 256
_WINDOW, _DIFFERENT = 16, 12
_REST_S = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """A process that goes round, and what its `idle` is told."""

    pid: int
    message: messages.Idle


def repeated(samples: list[int]) -> tuple[int, int] | None:
    """Return length and count of the shortest sequence that ends `samples` three times over."""
    for length in range(1, _LONGEST + 1):
        if len(samples) < length * _REPEATS:
            return None
        last = samples[-length:]
        count = 1
        while samples[-length * (count + 1) : -length * count] == last:
            count += 1
        if count >= _REPEATS:
            return length, count
    return None


class IdleWatch:
    """Looks at the main process of a guest."""

    def __init__(self, idle_ms: int) -> None:
        """`idle_ms` without a call are idle; 0: nothing ever is."""
        self._idle_s = idle_ms / 1000
        self._interval_s = min(max(self._idle_s / 10, 0.05), 0.5)
        self._samples: list[int] = []
        self._sampled_at = 0.0
        self._since = 0.0
        self._found_at = 0.0

    def look(self, guest: Guest) -> Found | None:
        """Take a sample if it is time for one; return what was found."""
        now = time.monotonic()
        if not self._idle_s or now - self._sampled_at < self._interval_s:
            return None
        idle_s = now - max(guest.trace.last_activity, self._since)
        if idle_s < self._idle_s:
            self._samples.clear()
            return None
        main = guest.processes_known.main
        if main is None or now - self._found_at < _REST_S:
            return None
        self._sampled_at = now
        pc = self._pc(guest, main.pid)
        if pc is None:
            # It is blocked in a call, which the emulator's own watchdog never sees either.
            return None
        self._samples = [*self._samples[1 - _KEPT :], pc]
        sequence = repeated(self._samples)
        if sequence is not None:
            self._samples.clear()
            self._found_at = self._since = now
            return Found(main.pid, messages.Idle(pc, round(idle_s * 1000), *sequence))
        if len(self._samples) >= _WINDOW and len(set(self._samples[-_WINDOW:])) >= _DIFFERENT:
            self._samples.clear()
            self._since = now
        return None

    def _pc(self, guest: Guest, pid: int) -> int | None:
        state = process.thread_state(pid, pid)
        if state is None or state.state != "R":
            return None
        known = guest.processes_known.by_pid.get(pid)
        env = known.envs.get(pid) if known is not None else None
        if known is None or env is None:
            return None
        try:
            return guest.registers_at(pid, env, composed=False).get(known.program.arch.pc)
        except (TriageError, OSError):
            return None
