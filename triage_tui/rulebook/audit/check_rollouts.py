"""Whether the rollouts of a rulebook are what the audit log tells of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook.audit.log import OBSERVED, ROLLOUT_KINDS, Entry
from triage_tui.rulebook.rollouts import record
from triage_tui.rulebook.rollouts.observed import observed_otherwise

_OF_ROLLOUT = re.compile(r"rollout ([^\s:]{1,200}): ")
_TOLD = ("kind", "actor", "says", "target", "rules", "digest")
"""What the last step of a rollout and its line have in common."""


def lines_by_rollout(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the lines about each rollout, by its id; without those that were withdrawn."""
    entries = list(entries)
    withdrawn = {entry.change for entry in entries if entry.kind == "withdrawn" and entry.change}
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        named = _OF_ROLLOUT.match(entry.says) if entry.kind in (*ROLLOUT_KINDS, OBSERVED) else None
        if named is not None and entry.change not in withdrawn:
            found.setdefault(named[1], []).append(entry)
    return found


def check_rollouts(rulebook: Path, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield what is wrong with the rollouts, a sentence each: one that is gone, or not as it was decided."""
    told = lines_by_rollout(entries)
    for identity in sorted({*told, *record.rollout_ids(rulebook)}):
        yield from _check(rulebook, identity, told.get(identity, []))


def _check(rulebook: Path, identity: str, lines: list[Entry]) -> Iterator[str]:
    path = record.directory_of(rulebook) / f"{identity}.json"
    if lines and not os.path.lexists(path):
        yield f"rollout {identity}, of line {lines[-1].number}, is not in the rulebook: its file was removed"
        return
    try:
        rollout = record.read(rulebook, identity)
    except TriageError as error:
        yield str(error)
        return
    steps = [line for line in lines if line.kind in ROLLOUT_KINDS]
    last = next((line for line in lines if line.change == rollout.change), None)
    if last is None or not rollout.moves:
        yield f"the last step of rollout {identity} is not in the audit log"
        return
    wanted = record.entry_of(rollout)
    if any(getattr(wanted, name) != getattr(last, name) for name in _TOLD):
        yield f"rollout {identity} is not what line {last.number} tells of it: it was changed"
        return
    if len(steps) != len(rollout.moves):
        yield (
            f"rollout {identity} has {len(rollout.moves)} steps, but the audit log tells of {len(steps)}:"
            " its file was removed or replaced by an older one"
        )
        return
    try:
        record.text_of(rulebook, rollout)
    except TriageError as error:
        yield str(error)
    yield from observed_otherwise(rollout, lines)
