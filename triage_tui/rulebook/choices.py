"""Which hunks of a run's proposed rules are chosen, and what an approval of them would make active."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from triage_tui.rulebook.hunks import Difference, compare, digest_of, paragraphs, result, split

State = Literal["undecided", "chosen", "dropped"]

SIGNS: dict[State, str] = {"undecided": "○", "chosen": "✓", "dropped": "✗"}
"""How each state is written beside its word."""

MAX_KEPT = 4096
"""Decisions and divisions that are kept of one run."""


class Kept(msgspec.Struct):
    """What a person decided about the hunks of one run, in a form that outlives the app.

    `states` maps file and key of a hunk ("fix/syscall/read.lua:KEY") to its state, where it is not undecided;
    `points` maps file and digests of its two texts to the places at which its hunks were divided.
    """

    states: dict[str, State] = msgspec.field(default_factory=dict)
    points: dict[str, list[tuple[int, int]]] = msgspec.field(default_factory=dict)


class Approval(msgspec.Struct, frozen=True):
    """One rule text to be made active, bound to what it was shown as.

    `proposed` and `active` are the digests of the two texts that the hunks were chosen in ("" = no active
    text); `text` is what is to be active, and `hunks` names the chosen ones (from 1) where not all are.
    """

    file: str
    proposed: str
    active: str
    text: bytes
    hunks: tuple[int, ...] = ()
    total: int = 0
    """How many hunks there were to choose from."""

    @property
    def name(self) -> str:
        """How it is written: the file, with the numbers of its hunks where not all are meant."""
        return f"{self.file}:{','.join(map(str, self.hunks))}" if self.hunks else self.file


def pair_of(file: str, old: bytes | None, new: bytes) -> str:
    """Return what divisions are kept under: they hold for exactly these two texts."""
    return f"{file}:{digest_of(old)[:16]}:{digest_of(new)[:16]}"


class Choices:
    """The hunks of all proposed files of one run and what is decided about each."""

    def __init__(self, kept: Kept | None = None) -> None:
        self._kept = kept or Kept()
        self._files: dict[str, Difference] = {}

    @property
    def kept(self) -> Kept:
        """What is to be kept for the next time."""
        return self._kept

    @property
    def files(self) -> Mapping[str, Difference]:
        """The difference of each file."""
        return self._files

    def show(self, differences: Mapping[str, Difference]) -> None:
        """Take the differences as they are now; decisions about hunks that are the same stay."""
        self._files = {}
        for file, difference in differences.items():
            points = self._kept.points.get(pair_of(file, difference.old, difference.new))
            self._files[file] = compare(difference.old, difference.new, points) if points else difference

    def state(self, file: str, number: int) -> State:
        """Return what is decided about a hunk (numbers from 0)."""
        return self._kept.states.get(self._name(file, number), "undecided")

    def states(self, files: Iterable[str]) -> list[State]:
        """Return the states of all hunks of the files."""
        return [
            self.state(file, number)
            for file in files
            if file in self._files
            for number in range(len(self._files[file].hunks))
        ]

    def decide(self, file: str, numbers: Iterable[int], state: State) -> None:
        """Set the state of hunks."""
        for number in numbers:
            name = self._name(file, number)
            self._kept.states.pop(name, None)
            if state != "undecided" and len(self._kept.states) < MAX_KEPT:
                self._kept.states[name] = state

    def decide_files(self, files: Iterable[str], state: State) -> None:
        """Set the state of all hunks of the files."""
        for file in files:
            if file in self._files:
                self.decide(file, range(len(self._files[file].hunks)), state)

    def snapshot(self, file: str, numbers: Iterable[int]) -> dict[str, State]:
        """Return the states of some hunks, for `restore`."""
        return {self._name(file, number): self.state(file, number) for number in numbers}

    def restore(self, states: Mapping[str, State]) -> None:
        """Decide again as it was; what else was decided since then stays."""
        for name, state in states.items():
            self._kept.states.pop(name, None)
            if state != "undecided":
                self._kept.states[name] = state

    def toggle(self, file: str, number: int) -> State:
        """Choose a hunk, drop it when it is chosen, and leave it open again when it is dropped."""
        after: dict[State, State] = {"undecided": "chosen", "chosen": "dropped", "dropped": "undecided"}
        state = after[self.state(file, number)]
        self.decide(file, [number], state)
        return state

    def toggle_files(self, files: Collection[str]) -> State:
        """Choose all hunks of the files; drop them when all are chosen, and leave them open after that."""
        states = set(self.states(files))
        state: State = (
            "dropped" if states == {"chosen"} else "undecided" if states == {"dropped"} else "chosen"
        )
        self.decide_files(files, state)
        return state

    def divide(self, file: str, number: int, row: int) -> bool:
        """Divide a hunk at its line `row`, or, at its first, into paragraphs; both parts keep its state.

        Returns False when there is nothing to divide.
        """
        difference = self._files[file]
        hunk, state = difference.hunks[number], self.state(file, number)
        points = paragraphs(difference, number) if row <= 0 else []
        if 0 < row < hunk.rows:
            points = [split(hunk, row)]
        name = pair_of(file, difference.old, difference.new)
        known = self._kept.points.get(name, [])
        if not points or len(known) + len(points) > MAX_KEPT:
            return False
        self.decide(file, [number], "undecided")
        states = [self.state(file, other) for other in range(len(difference.hunks))]
        self._kept.points[name] = sorted({*known, *points})
        self._files[file] = compare(difference.old, difference.new, self._kept.points[name])
        parts = len(self._files[file].hunks) - len(difference.hunks)
        # The keys of equal hunks count them, so what is behind may have another name now.
        after = [*states[:number], *[state] * (parts + 1), *states[number + 1 :]]
        for other, one in enumerate(after):
            self.decide(file, [other], one)
        return True

    @property
    def chosen(self) -> list[Approval]:
        """Return what is chosen, file by file: an approval takes exactly these hunks."""
        return [
            self.approval(file, taken)
            for file, difference in self._files.items()
            if (taken := [n for n in range(len(difference.hunks)) if self.state(file, n) == "chosen"])
        ]

    def whole(self, files: Iterable[str]) -> list[Approval]:
        """Return the approval of whole files, without the hunks that are dropped."""
        return [
            self.approval(file, taken)
            for file in files
            if (difference := self._files.get(file)) is not None
            and (taken := [n for n in range(len(difference.hunks)) if self.state(file, n) != "dropped"])
        ]

    def approval(self, file: str, taken: Collection[int]) -> Approval:
        """Return the approval of the hunks `taken` (from 0) of one file."""
        return approval_of(file, self._files[file], taken)

    def _name(self, file: str, number: int) -> str:
        return f"{file}:{self._files[file].keys[number]}"


def approval_of(file: str, difference: Difference, taken: Collection[int]) -> Approval:
    """Return the approval of some hunks (numbers from 0) of a difference."""
    numbers = tuple(sorted(number + 1 for number in taken))
    return Approval(
        file,
        digest_of(difference.new),
        digest_of(difference.old),
        result(difference, taken),
        () if len(numbers) == len(difference.hunks) else numbers,
        len(difference.hunks),
    )
