"""Guest memory as far as it was recorded: single objects, and whole regions where they were kept."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

from triage_tui.errors import TriageError
from triage_tui.runs.memory_model import MemoryRegion


class RegionBytes(Protocol):
    """What reads one region, from the disk (`RegionReader`) or from what is known of it already."""

    @property
    def region(self) -> MemoryRegion:
        """The region."""

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes at an address within it."""


class RecordedMemory:
    """The recorded bytes of one process. What was not recorded is never made up."""

    def __init__(self, objects: Sequence[tuple[int, bytes]], regions: Sequence[RegionBytes] = ()) -> None:
        """`objects` are addresses with their bytes; `regions` are read from the disk."""
        self._objects = sorted((piece for piece in objects if piece[1]), key=lambda piece: piece[0])
        self._starts = [address for address, _ in self._objects]
        self._longest = max((len(data) for _, data in self._objects), default=0)
        self._regions = list(regions)

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes at a guest address: fewer, or none, where the record ends."""
        found = self._from_objects(address, size)
        if len(found) == size:
            return found
        for reader in self._regions:
            if reader.region.start <= address < reader.region.end:
                try:
                    kept = reader.read(address, size)
                except (TriageError, OSError, ValueError):
                    continue
                return kept if len(kept) > len(found) else found
        return found

    def _from_objects(self, address: int, size: int) -> bytes:
        """Return what the object says that holds `address` and most of what follows."""
        best = b""
        for index in range(bisect_right(self._starts, address) - 1, -1, -1):
            start, data = self._objects[index]
            if address - start >= self._longest or len(best) == size:
                break
            part = data[address - start : address - start + size]
            best = part if len(part) > len(best) else best
        return best
