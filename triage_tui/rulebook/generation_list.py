"""The generations of a target as a list for people: what each changed, why, and whether it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import generations, manifest
from triage_tui.rulebook.audit.log import Entry, read_log
from triage_tui.rulebook.changing import directory_of, numbers, pointer
from triage_tui.rulebook.manifest import Generation, verify


class ListedGeneration(msgspec.Struct, frozen=True):
    """One generation. `added`, `replaced` and `removed` are files, against the one that it was made of."""

    made: Generation
    active: bool = False
    run: str = ""
    """The run that it was approved on, as the audit log tells it."""
    added: list[str] = msgspec.field(default_factory=list)
    replaced: list[str] = msgspec.field(default_factory=list)
    removed: list[str] = msgspec.field(default_factory=list)
    problem: str = ""
    """What is wrong with its bytes, "" for nothing."""
    last_active: str = ""
    """When it became active the last time, local time with zone; "" where the audit log does not say."""
    moves: list[Entry] = msgspec.field(default_factory=list)
    """The lines of the audit log by which it became active, the oldest first."""

    @property
    def changed(self) -> str:
        """How many files it changed: "+2 ~1 -0"."""
        return f"+{len(self.added)} ~{len(self.replaced)} -{len(self.removed)}"


def listed(target_dir: Path) -> list[ListedGeneration]:
    """Return the generations of a target's directory, the oldest first. Their files are hashed."""
    pointed = 0
    with contextlib.suppress(TriageError):
        pointed = pointer(target_dir) or 0
    made = {one.number: one for one in generations.history(target_dir)}
    moves = _moves(target_dir)
    found = [_listed(one, made, pointed, moves.get(one.number, [])) for one in made.values()]
    found += [
        _unreadable(target_dir, number, number == pointed, moves.get(number, []))
        for number in sorted({*numbers(target_dir), *filter(None, [pointed])})
        if number not in made and number != generations.interrupted(target_dir)
    ]
    return sorted(found, key=lambda one: one.made.number)


def pointer_problem(target_dir: Path) -> str:
    """Return why it cannot be told which generation is active, "" when it can."""
    try:
        pointer(target_dir)
    except TriageError as error:
        return str(error)
    return ""


def _unreadable(target_dir: Path, number: int, active: bool, moves: list[Entry]) -> ListedGeneration:
    """Return what can be told of a generation whose manifest cannot be read."""
    try:
        manifest.load(directory_of(target_dir, number))
        problem = "it was made just now"
    except TriageError as error:
        problem = str(error)
    unknown = Generation(number=number, parent=None, created="", actor="", reason="", files={}, rule_ids=[])
    return ListedGeneration(unknown, active, _run_of(moves), problem=problem, moves=moves)


def _run_of(moves: list[Entry]) -> str:
    return next((entry.run for entry in moves if entry.kind != "rolled_back"), "")


def _listed(
    one: Generation, made: Mapping[int, Generation], active: int, moves: list[Entry]
) -> ListedGeneration:
    parent = made.get(one.parent or 0)
    before = parent.files if parent is not None else {}
    wrong = verify(one)
    return ListedGeneration(
        one,
        one.number == active,
        _run_of(moves),
        sorted(name for name in one.files if name not in before),
        sorted(name for name, sha256 in one.files.items() if name in before and before[name] != sha256),
        sorted(name for name in before if name not in one.files),
        wrong[0] if wrong else "",
        moves[-1].wall if moves else "",
        moves,
    )


def _moves(target_dir: Path) -> dict[int, list[Entry]]:
    """Return the lines of the audit log by which each generation became active."""
    found: dict[int, list[Entry]] = {}
    withdrawn: set[str] = set()
    with contextlib.suppress(TriageError):
        entries = [line.entry for line in read_log(target_dir.parent)[0] if line.entry is not None]
        withdrawn = {entry.change for entry in entries if entry.kind == "withdrawn"}
        for entry in entries:
            took_place = entry.change and entry.after is not None and entry.change not in withdrawn
            if took_place and entry.target == target_dir.name:
                found.setdefault(entry.after or 0, []).append(entry)
    return found
