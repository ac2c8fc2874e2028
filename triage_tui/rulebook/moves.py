"""What a move of the active generation means for the runs on which rules were approved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from triage_tui.rulebook.generation_list import ListedGeneration, listed
from triage_tui.rulebook.generations import Generation


class Moved(msgspec.Struct):
    """The rule files that a move takes out of force and puts back, by the run that they were approved on."""

    taken_back: dict[str, list[str]] = msgspec.field(default_factory=dict)
    put_back: dict[str, list[str]] = msgspec.field(default_factory=dict)
    parent: int | None = None
    """The generation that the one that is active now was made of."""

    @property
    def runs(self) -> list[str]:
        """Every run that is to be told, sorted."""
        return sorted({*self.taken_back, *self.put_back})


def moved(target_dir: Path, before: int, after: int) -> Moved:
    """Return what a move from generation `before` to `after` (0: none) means for the runs of a target."""
    known = listed(target_dir)
    made = {one.made.number: one.made for one in known}
    made |= {one.made.number: _as_told(one, made) for one in known if not one.made.created}
    runs = {one.made.number: one.run for one in known}
    old, new = made.get(before), made.get(after)
    found = Moved(parent=new.parent if new is not None else None)
    for whole, other, told in ((old, new, found.taken_back), (new, old, found.put_back)):
        if whole is None:
            continue
        kept = other.files if other is not None else {}
        for name, sha256 in whole.files.items():
            run = runs.get(_made_by(made, whole, name, sha256), "") if kept.get(name) != sha256 else ""
            if run:
                told.setdefault(run, []).append(name)
    return found


def _as_told(one: ListedGeneration, made: Mapping[int, Generation]) -> Generation:
    """Return a generation that cannot be read as the audit log tells it: its parent, and its rules."""
    first = next((entry for entry in one.moves if entry.kind != "rolled_back"), None)
    if first is None:
        return one.made
    parent = made.get(first.before or 0)
    files = {**(parent.files if parent is not None else {}), **first.rules}
    return msgspec.structs.replace(one.made, parent=first.before or None, files=files)


def _made_by(made: Mapping[int, Generation], holder: Generation, name: str, sha256: str) -> int:
    """Return the number of the generation that brought a file, among those that `holder` was made of."""
    seen = {holder.number}
    while holder.parent and (parent := made.get(holder.parent)) is not None:
        if parent.files.get(name) != sha256 or parent.number in seen:
            break
        seen.add(parent.number)
        holder = parent
    return holder.number
