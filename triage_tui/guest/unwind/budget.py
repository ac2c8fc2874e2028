"""Bound the work of a backtrace: what the guest's memory holds must not make it endless.

Every way of finding a caller is bounded by itself, but a program can make each of them as long as it gets, in
every frame. What they all do is read memory: that is counted.
"""

from __future__ import annotations

from triage_tui.guest.arch.model import Endian
from triage_tui.guest.state.memory import Memory

MAX_READS = 1_000_000
"""Reads for one backtrace, which takes some seconds then; those of real programs need up to 100,000."""


class OutOfWorkError(Exception):
    """More was read than one backtrace may."""


class MeteredMemory(Memory):
    """A view of `memory` that can be read so often and no more.

    Every method raises `OutOfWorkError` then.
    """

    def __init__(self, memory: Memory, reads: int = MAX_READS) -> None:
        self._source, self._pages = memory._source, memory._pages
        self.arch, self.maps, self._has_code = memory.arch, memory.maps, memory._has_code
        self._left = reads

    def _number(self, addr: int, size: int, endian: Endian) -> int | None:
        self._spend()
        return super()._number(addr, size, endian)

    def read(self, addr: int, size: int) -> bytes:
        """Return bytes as `Memory.read` does."""
        self._spend()
        return super().read(addr, size)

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise OutOfWorkError
