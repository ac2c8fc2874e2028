"""Follow a loop that was found: whether it goes on, and how many rounds of it there were.

A guest can go round faster than its log can be read. Then calls are skimmed: they are counted, and not
compared with the loop. They count as rounds like those around them, and the record says how many calls that
concerns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from triage_tui.runs.model import Loop, Syscall

MAX_ROUNDS = 64
"""Rounds whose beginnings are kept."""


class FollowedLoop:
    """One loop that was found, and what came of it since."""

    def __init__(self, found: Loop, cycle: Sequence[int], now_ns: int) -> None:
        """`cycle` are the numbers of its calls' signatures; its last call, at `now_ns`, has ended a round."""
        self._found = found
        self._cycle = list(cycle)
        self._found_ns = self._last_ns = now_ns
        self._last_seq = found.last_seq
        """The end of the last whole round."""
        self._starts: deque[int] = deque(found.round_seqs, maxlen=MAX_ROUNDS)
        self._begun: int | None = None
        """The first call of the round that is under way; None where that is not known."""
        self._places = {0}
        """Where in the cycle the next call may be: after a gap that is open until the calls tell."""
        self._read = self._compared = 0
        """Calls since it was found: all that were read, and those of them that belong to a round."""
        self._skimmed = self._skimmed_last = 0
        """Skimmed calls since then, and those of them after the last call that was compared."""
        self._whole = (0, 0)
        """Compared and skimmed calls up to the end of the last whole round."""
        self.is_broken = False
        """It did not go on."""

    def note_read(self) -> None:
        """Take note of a call of its thread, whether it belongs to a round or says nothing."""
        self._read += 1

    def note_gap(self, calls: int) -> None:
        """Take note that so many calls were skimmed."""
        self._skimmed_last += calls
        self._places = set(range(len(self._cycle)))
        self._begun = None

    def add(self, number: int, call: Syscall) -> None:
        """Compare the next call; `number` is that of its signature."""
        places = {place for place in self._places if self._cycle[place] == number}
        if not places:
            self.is_broken = True
            return
        self._compared += 1
        self._skimmed += self._skimmed_last
        self._skimmed_last = 0
        last = len(self._cycle) - 1
        self._places = {place + 1 if place < last else 0 for place in places}
        if len(places) > 1:
            return
        if 0 in places:
            self._begun = call.seq
        if last in places:
            self._last_seq, self._last_ns = call.seq, call.ts_mono_ns
            self._whole = self._compared, self._skimmed
            if self._begun is not None:
                self._starts.append(self._begun)
            self._begun = None

    def describe(self) -> Loop:
        """Return the loop as it is by now, up to the end of its last whole round."""
        compared, skimmed = self._whole
        if self._read:
            # Calls that say nothing are among the skimmed ones as often as elsewhere.
            skimmed = round(skimmed * self._compared / self._read)
        found = self._found
        return Loop(
            period=found.period,
            repeats=(found.repeats * found.period + compared + skimmed) // found.period,
            first_seq=found.first_seq,
            last_seq=self._last_seq,
            tid=found.tid,
            round_seqs=list(self._starts),
            names=found.names,
            sleeps=found.sleeps,
            span_ms=found.span_ms + (self._last_ns - self._found_ns) / 1e6,
            skimmed=skimmed,
        )
