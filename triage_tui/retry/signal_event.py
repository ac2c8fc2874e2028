"""An event that signal handlers set."""

from __future__ import annotations

import signal
import threading
import time


class SignalEvent(threading.Event):
    """An event that a signal handler may set.

    `threading.Event` takes a lock, which the very code that the signal interrupts may hold: the handler would
    then wait for itself. Here setting is one assignment, and waiting looks again every few milliseconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._happened = False
        self.number = 0
        """The signal that set it, 0 for none."""

    @property
    def why(self) -> str:
        """Who ended it: the name of the signal, "" without one."""
        return signal.Signals(self.number).name if self.number else ""

    def set(self) -> None:
        """Note that it happened."""
        self._happened = True

    def is_set(self) -> bool:
        """Tell whether it happened."""
        return self._happened

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it happens, `timeout` seconds at most, and tell whether it did."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._happened and (deadline is None or time.monotonic() < deadline):
            time.sleep(0.02)
        return self._happened
