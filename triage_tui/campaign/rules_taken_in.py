"""Make the rules that a target came to active in the workspace, as far as they are not.

A target is played beside the workspace, with the rules of the beginning of the campaign. Where nobody changed
the rules of its program since, its changes are made again one by one, under the same numbers and in the audit
log. Otherwise (another target of the campaign has the same program and arguments) what it came to is added to
what is active by now, and its runs are told the numbers that hold in the workspace.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Container
from pathlib import Path

import msgspec

from triage_tui.campaign.base_rules import base_standing, standing
from triage_tui.campaign.rederived import Meaning, meaning_of
from triage_tui.errors import TriageError
from triage_tui.rulebook import generations, manifest, rulefile
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.changing import directory_of
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.places import target_directory
from triage_tui.rulebook.targets import TARGET_FILE, described
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import write_atomic
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.model import Target
from triage_tui.text import safe_line

Tell = Callable[[str], None]
_CHANGE = re.compile(r"[0-9a-f]{16}")
_POLICIES = ("policy:auto", "policy:assist")


class TakenIn(msgspec.Struct):
    """Which generations of the workspace hold what the runs of a target name by numbers of their own."""

    exact: bool
    """The numbers are the same."""
    generation: Generation | None = None
    """The one that is active now."""


def take_in_rules(
    rulebook: Path,
    directory: Path,
    theirs: Path,
    target: Target,
    reason: str,
    tell: Tell,
    allowed: Container[Meaning] | None = None,
) -> TakenIn:
    """Make the rules of `theirs`, the rulebook of a place, active in `rulebook` for one target.

    `directory` is that of the campaign. What is in the way of a rule leaves it inactive, and is told. Where
    one is not among the `allowed` (None: all are), none of them becomes active, and that is told.

    Raises:
        TriageError: the rules cannot be read or written.
    """
    source = target_directory(theirs, target.target_id)
    goal = target_directory(rulebook, target.target_id)
    base = base_standing(directory, target.target_id)
    if standing(source) == base:
        return TakenIn(standing(goal) == base, generations.current(goal))
    if allowed is not None and (bad := _not_allowed(source, base[1], allowed)):
        tell(f"rules of {reason} stay inactive: the written policy here allows no {bad} on its runs")
        return TakenIn(False, generations.current(goal))
    _describe(goal, target)
    moves = _moves(theirs, source.name, base[1])
    if standing(goal) == base and moves is not None:
        _again(source, goal, moves)
        return TakenIn(True, generations.current(goal))
    _added(source, goal, base, reason, tell)
    return TakenIn(False, generations.current(goal))


def _not_allowed(source: Path, known: list[int], allowed: Container[Meaning]) -> str:
    """Return the name of a rule of a worker's own generations that is not allowed, "" where all are."""
    old = {sha256 for number in known for sha256 in _loaded(source, number).files.values()}
    for number in standing(source)[1]:
        made = _loaded(source, number)
        for name, sha256 in made.files.items():
            if sha256 not in old and meaning_of(name, manifest.read_file(made, name)) not in allowed:
                return safe_line(name, 120)
    return ""


def _describe(goal: Path, target: Target) -> None:
    """Say which program the rules are for, where that is not said."""
    if not (goal / TARGET_FILE).exists():
        write_atomic(goal / TARGET_FILE, encode_line(described(target)) + b"\n")


def _moves(rulebook: Path, name: str, known: list[int]) -> list[audit_log.Entry] | None:
    """Return the changes of a target in their order, None where they cannot be made again one by one."""
    lines, _ = audit_log.read_log(rulebook)
    found = [
        entry
        for line in lines
        if (entry := line.entry) is not None and entry.target == name and entry.kind in audit_log.MOVES
    ]
    made = [entry.after for entry in found if entry.kind == "activated"]
    first = max(known, default=0) + 1
    plain = all(entry.kind in ("activated", "rolled_back") for entry in found)
    return found if plain and made == list(range(first, first + len(made))) else None


def _again(source: Path, goal: Path, moves: list[audit_log.Entry]) -> None:
    for entry in moves:
        before, after = entry.before or 0, entry.after or 0
        actor, says = _actor(entry.actor), safe_line(entry.says, audit_log.MAX_TEXT)
        run = entry.run if is_run_id(entry.run) else ""
        change = entry.change if _CHANGE.fullmatch(entry.change) else ""
        if entry.kind == "rolled_back":
            generations.rollback(goal, after, actor=actor, reason=says, run=run, change=change, expect=before)
            continue
        made = _loaded(source, after)
        old = _loaded(source, before).files if before else {}
        new = [name for name, sha256 in made.files.items() if sha256 != old.get(name)]
        new = [name for name, sha256 in made.files.items() if sha256 != old.get(name)]
        generations.activate(
            goal,
            add={name: manifest.read_file(made, name) for name in new},
            remove=[name for name in old if name not in made.files],
            actor=actor,
            reason=says,
            run=run,
            change=change,
            expect=before,
        )


def _actor(name: str) -> str:
    """Return who decided: nobody but a policy does so on a worker, whatever that says."""
    return name if name in _POLICIES else "campaign"


def _loaded(target_dir: Path, number: int) -> Generation:
    found = manifest.load(directory_of(target_dir, number))
    if problems := manifest.verify(found):
        raise TriageError(problems[0])
    return found


def _added(source: Path, goal: Path, base: tuple[int, list[int]], reason: str, tell: Tell) -> None:
    """Add the rules that are active in `source` to those in `goal`, but for those that are there by now."""
    number = standing(source)[0]
    if not number:
        return
    ended = _loaded(source, number)
    begun = _loaded(source, base[0]).files if base[0] else {}
    active = generations.current(goal)
    there = {what for name in (active.files if active else {}) if (what := _meaning(active, name))}
    add = {
        name: manifest.read_file(ended, name)
        for name in ended.files
        if ended.files[name] != begun.get(name)
        and (active is None or name not in active.files)
        and _meaning(ended, name) not in there
    }
    if not add:
        return
    run = next((rulefile.parse(data).header.run for data in add.values()), "") or ""
    try:
        generations.activate(goal, add=add, actor=_actor(ended.actor), reason=reason, run=run)
    except TriageError as error:
        tell(f"rules of {reason} are not active: {error}")


def _meaning(generation: Generation | None, name: str) -> tuple[str, bytes] | None:
    """Return what a rule does, whatever run it came from; None where that cannot be read."""
    if generation is None:
        return None
    with contextlib.suppress(TriageError):
        found = rulefile.parse(manifest.read_file(generation, name))
        return f"{name.partition('@')[0]} {found.header.match}", found.body
    return None


def same_rule(taken: TakenIn, source: bytes, name: str) -> bool:
    """Tell whether a rule of a run is active by now, under its own name or as another target's."""
    if taken.generation is None:
        return False
    if name in taken.generation.files:
        return True
    try:
        found = rulefile.parse(source)
    except TriageError:
        return False
    meant = (f"{name.partition('@')[0]} {found.header.match}", found.body)
    return any(_meaning(taken.generation, other) == meant for other in taken.generation.files)
