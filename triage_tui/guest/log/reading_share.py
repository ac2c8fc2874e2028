"""How long the logs of a running guest are read: a guest that makes calls needs the processor itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from triage_tui.guest.log.trace import Trace

_READING_S = 0.002
"""A tick's share of reading."""


class ReadingShare:
    """The reader's share of each tick.

    Nothing is read while a held call waits for its answer. What such a call leaves of the share is used after
    that: calls that are held without a pause would keep the log from being read at all.
    """

    def __init__(self, trace: Trace, is_called: Callable[[], bool]) -> None:
        """`is_called` tells whether a held call waits."""
        self._trace = trace
        self._is_called = is_called
        self.left_s = 0.0
        """What is left of the share of this tick."""

    def renew(self) -> None:
        """A tick begins."""
        self.left_s = _READING_S

    def use(self) -> bool:
        """Read for what is left, or until a call waits; return whether all was read."""
        began = time.monotonic()
        done = self._trace.keep_up(self.left_s, self._is_called)
        self.left_s = 0.0 if done else self.left_s - (time.monotonic() - began)
        return done
