"""Which worker plays which target: one that has its root already if possible, and none that cannot play it.

A worker elsewhere may lack what others have: an emulator, name spaces, room on its disk. What it refuses is
refused for good only when others say the same, so that one bad worker costs no target.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping

from triage_tui.campaign.model import Target
from triage_tui.text import number_of, safe_line

_LOOKED_AT = 64
"""Waiting targets among which one is looked for whose root a worker has."""
_WRONG = 2
"""Targets that a worker refuses and another one plays, until it gets no more of their architecture."""
MAX_REFUSALS = 3
"""Workers that have to refuse a target before it is, where there are so many."""


class Placement:
    """What is known of workers elsewhere by what they answered; of those of this process there is nothing."""

    def __init__(self) -> None:
        self._homes: defaultdict[str, set[str]] = defaultdict(set)
        """Hash of a root -> the workers that have it, or are about to get it."""
        self._refused: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """Id of a target -> the workers that refused it, and why."""
        self._unfit: set[tuple[str, str]] = set()
        """A worker and an architecture that it cannot play, as others could."""
        self._could: set[tuple[str, str]] = set()
        """A worker and an architecture that it has played."""
        self.full: set[str] = set()
        """Workers whose disk was full when they were asked last."""
        self._wrong: Counter[tuple[str, str]] = Counter()
        """How often a worker refused a target of an architecture that another one played."""

    def next(
        self, waiting: deque[Target], slots: Mapping[str, int], load: Counter[str]
    ) -> tuple[Target, str] | None:
        """Take the target out of `waiting` that is to be played now; return it and its worker.

        `slots` is how many targets each worker can play at a time, `load` how many it has. None: there is no
        room for any.
        """
        free = {address: count - load[address] for address, count in slots.items() if count > load[address]}
        if not free:
            return None
        best: tuple[int, int, str] | None = None
        for index, target in zip(range(_LOOKED_AT), waiting, strict=False):
            fit = [address for address in free if self._may(address, target, slots)]
            if not fit:
                continue
            homes = self._homes.get(target.root_hash, set())
            address = max(fit, key=lambda one: (one in homes, free[one]))
            rank = 0 if address in homes or not address else 1 if not homes else 2
            if best is None or rank < best[0]:
                best = rank, index, address
            if rank == 0:
                break
        if best is None:
            return None
        _, index, address = best
        target = waiting[index]
        del waiting[index]
        if address:
            self._homes[target.root_hash].add(address)
        return target, address

    def _may(self, address: str, target: Target, slots: Mapping[str, int]) -> bool:
        refused = self._refused.get(target.target, {})
        if (address, target.arch) in self._unfit or address in refused:
            # Where nobody else is left, what it said is the answer.
            return all(one in refused or (one, target.arch) in self._unfit for one in slots)
        return True

    def refused(self, target: Target, address: str, why: str, slots: Iterable[str]) -> str:
        """Note that a worker refuses a target; return why it is refused for good, "" to ask another."""
        found = self._refused[target.target]
        found[address] = why
        others = [one for one in slots if one not in found and (one, target.arch) not in self._unfit]
        if len(found) < MAX_REFUSALS and others:
            return ""
        del self._refused[target.target]
        return why if len(found) == 1 else f"{why} ({number_of(len(found), 'worker')} refused it)"

    def finished(self, target: Target, worker: str) -> list[str]:
        """Note that a worker played a target; return what is to be told of workers that had refused it."""
        self._could.add((worker, target.arch))
        told = []
        for address, why in self._refused.pop(target.target, {}).items():
            key = address, target.arch
            self._wrong[key] += 1
            if self._wrong[key] == _WRONG and key not in self._could:
                self._unfit.add(key)
                what = f"{target.arch} targets" if target.arch else "such targets"
                told.append(f"worker {safe_line(address, 80)} cannot play {what}, which go to others: {why}")
        return told
