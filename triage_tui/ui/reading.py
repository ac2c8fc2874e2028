"""Which run is being read: one is wanted at a time, and what is no longer wanted ends at its next part."""

from __future__ import annotations

import threading

import msgspec


class Reading(msgspec.Struct, eq=False):
    """One run that is read in a thread."""

    run_id: str
    serial: int
    """Of two readings of one run, the one with the higher number began later."""
    unwanted: threading.Event = msgspec.field(default_factory=threading.Event)
    """Set when another run is wanted."""
    again: bool = False
    """Whether the run changed meanwhile, so that it is to be read once more."""


class Readings:
    """The readings of an app, called in its own thread."""

    def __init__(self) -> None:
        self._now: Reading | None = None
        self._count = 0

    def begin(self, run_id: str) -> Reading | None:
        """Return the reading of a run that is to be carried out.

        None while that run is being read: a run that changes all the time is read to its end, and then once
        more, however often it changed.
        """
        if self._now is not None and self._now.run_id == run_id:
            self._now.again = True
            return None
        self.give_up()
        self._count += 1
        self._now = Reading(run_id, self._count)
        return self._now

    def give_up(self) -> None:
        """Let the reading that is under way end at its next part."""
        if self._now is not None:
            self._now.unwanted.set()
            self._now = None

    def ended(self, reading: Reading) -> bool:
        """Note that a reading ended; tell whether its run is to be read once more."""
        if reading is not self._now:
            return False
        self._now = None
        return reading.again
