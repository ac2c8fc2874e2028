"""Questions to an index: which function is meant, who calls it, what does it reach and how."""

from __future__ import annotations

import bisect
import difflib
import re
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from triage_tui.binary.index_model import CERTAIN, BinaryIndex, Edge, Function, Text
from triage_tui.errors import TriageError
from triage_tui.text import safe_line

_ADDRESS = re.compile(r"(?:sub_|0x)([0-9a-fA-F]{1,16})\Z")


class Reach(msgspec.Struct, frozen=True):
    """How a function is reached: the edges on the way, first to last."""

    path: list[Edge]

    @property
    def certain(self) -> bool:
        """Calls and jumps only; otherwise it rests on an address that is taken, and may never be called."""
        return all(edge.kind in CERTAIN for edge in self.path)


class CallGraph:
    """An index with its lists joined."""

    def __init__(self, index: BinaryIndex) -> None:
        self.index = index
        self._first = sum(1 for one in index.functions if one.origin == "import")
        self._starts = [one.start for one in index.functions[self._first :]]
        self._out: dict[int, list[Edge]] = {}
        self._into: dict[int, list[Edge]] = {}
        for edge in index.edges:
            self._out.setdefault(edge.caller, []).append(edge)
            self._into.setdefault(edge.callee, []).append(edge)
        self._users: dict[int, list[tuple[int, int]]] = {}
        for use in index.uses:
            self._users.setdefault(use.text, []).append((use.function, use.site))
        self._names: dict[str, int] = {}
        for place in range(len(index.functions) - 1, -1, -1):
            if index.functions[place].name:
                self._names[index.functions[place].name] = place

    def function(self, place: int) -> Function:
        """Return the function at a place of the index."""
        return self.index.functions[place]

    def at(self, address: int) -> int | None:
        """Return the place of the function that holds a file address, or None."""
        place = bisect.bisect_right(self._starts, address) - 1 + self._first
        return place if place >= self._first and address < self.index.functions[place].end else None

    def find(self, name: str) -> int:
        """Return the place of a function by its name, or by an address as 0x10400 or sub_10400.

        Raises:
            TriageError: there is none; the text names similar ones.
        """
        known = self._names.get(name)
        if known is not None:
            return known
        match = _ADDRESS.match(name.strip())
        if match is not None:
            place = self.at(int(match[1], 16))
            if place is not None:
                return place
            raise TriageError(f"no function is known at {safe_line(name, 40)}")
        near = difflib.get_close_matches(name[:100], self._names, 4, 0.6) if len(self._names) < 20_000 else []
        hint = f"; similar are {', '.join(safe_line(one, 60) for one in near)}" if near else ""
        if self.index.stripped:
            hint += "; the file is stripped: name functions by address, as 0x10400"
        raise TriageError(f"there is no function {safe_line(name, 80)!r}{hint}")

    def callees(self, place: int) -> list[Edge]:
        """Return where a function leads to."""
        return self._out.get(place, [])

    def callers(self, place: int) -> list[Edge]:
        """Return what leads to a function."""
        return self._into.get(place, [])

    def reach(self, goal: int, sources: Sequence[int] | None = None) -> Reach | None:
        """Return a shortest way to a function, by certain steps if there is one; None if there is no way.

        `sources` are the functions to begin at, by default those that the loader starts.
        """
        begin = self.index.entries if sources is None else sources
        for kinds in (CERTAIN, None):
            before = self._spread(begin, kinds, goal)
            if goal in before:
                path: list[Edge] = []
                edge = before[goal]
                while edge is not None:
                    path.append(edge)
                    edge = before[edge.caller]
                return Reach(path[::-1])
        return None

    def reachable(self, sources: Sequence[int] | None = None, *, certain: bool = False) -> dict[int, int]:
        """Return place -> number of steps of all functions that are reached; `certain`: by calls only."""
        begin = self.index.entries if sources is None else sources
        steps: dict[int, int] = {}
        for place, edge in self._spread(begin, CERTAIN if certain else None, None).items():
            steps[place] = 0 if edge is None else steps[edge.caller] + 1
        return steps

    def _spread(
        self, begin: Iterable[int], kinds: tuple[str, ...] | None, goal: int | None
    ) -> dict[int, Edge | None]:
        """Return each function that is reached, in order of distance, with the edge that led to it first."""
        before: dict[int, Edge | None] = dict.fromkeys(begin)
        waiting = deque(before)
        while waiting:
            place = waiting.popleft()
            if place == goal:
                break
            for edge in self._out.get(place, ()):
                if edge.callee not in before and (kinds is None or edge.kind in kinds):
                    before[edge.callee] = edge
                    waiting.append(edge.callee)
        return before

    # --- strings ---------------------------------------------------------------------------------------

    def texts_used(self, place: int) -> list[tuple[Text, int]]:
        """Return the strings that a function refers to, with the instruction."""
        uses = self.index.uses
        first = bisect.bisect_left(uses, place, key=lambda use: use.function)
        found = []
        for use in uses[first:]:
            if use.function != place:
                break
            found.append((self.index.texts[use.text], use.site))
        return found

    def users(self, text: int) -> list[tuple[int, int]]:
        """Return (function, instruction) of those that refer to a string, by its place."""
        return self._users.get(text, [])
