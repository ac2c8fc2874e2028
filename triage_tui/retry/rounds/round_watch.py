"""Ends a round that takes too long or leads nowhere, while its guest runs.

A retry is a short cycle first: after a few seconds its calls are held against those of the rounds before.
Where the failure is there again, as often as in the whole round before, and nothing is new, it ends there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from triage_tui.retry.judging.earlier_rounds import counts
from triage_tui.retry.judging.ends import SHORT_CYCLE
from triage_tui.retry.judging.novelty import blocking_signatures
from triage_tui.runs.call_signatures import signature, signatures
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run

_AGAIN_S = 1.0


class ShortCycle:
    """What the first seconds of a retry are held against."""

    def __init__(self, seconds: float, before: Run, earlier: Sequence[Run]) -> None:
        self._seconds = seconds
        blocked = blocking_signatures(before)
        self._blocked = Counter(text for call in before.trace() if (text := signature(call)) in blocked)
        self._known = set(signatures(before.trace()))
        for run in earlier:
            self._known |= set(signatures(run.trace()))

    def verdict(self, history: Collection[Syscall], count: int) -> str:
        """Return why the retry is hopeless, "" where it is not; of `count` calls `history` has the last."""
        # Something new may be among the calls that are not there any more.
        if not self._blocked or count > len(history):
            return ""
        seen: Counter[str] = Counter()
        for call in history:
            text = signature(call)
            if text not in self._known and counts(call):
                return ""
            seen[text] += text in self._blocked
        failed = next((text for text, times in self._blocked.items() if seen[text] < times), None)
        if failed is not None:
            return ""
        first = next(iter(self._blocked))
        return f"{SHORT_CYCLE}: within {self._seconds:g} s it failed as before ({first}) and did nothing new"


class RoundWatch:
    """Says when the running guest is to be frozen; asked a few times a second."""

    def __init__(
        self,
        frozen: Callable[[], bool],
        limits: Sequence[tuple[float, str]],
        short_s: float = 0.0,
        short: Callable[[], str] = lambda: "",
    ) -> None:
        """`limits` are seconds from now, and what is said when they are over; `short` see `ShortCycle`."""
        now = time.monotonic()
        self._frozen = frozen
        self._ends = [(now + seconds, says) for seconds, says in limits]
        self._short = short
        self._look = now + short_s if short_s else None

    def __call__(self) -> bool | str:
        """Return whether a person wants it frozen, or why its time is over."""
        if self._frozen():
            return True
        now = time.monotonic()
        if (over := next((says for end, says in self._ends if now >= end), "")) != "":
            return over
        if self._look is not None and now >= self._look:
            self._look = now + _AGAIN_S
            return self._short() or False
        return False
