"""The active rules of a target: immutable generations and one pointer that moves atomically.

    rulebook/<target id>/
        generations/0001/ 0002/ ...     see `manifest`; files read-only, never changed again
        current -> generations/0002     the active generation; no link, no active rules
        .lock                           flock(2): one change at a time
        .intent.json                    only while a change is under way

A change begins with writing down what it will make active, so that after a crash at any moment the next one
finds exactly the old or the new state and removes what was left over. Before the pointer moves, a line in the
audit log of the rulebook says who moves it and why; where that cannot be written, nothing changes. Readers
need no lock: they follow one link.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook import kinds, manifest, rulefile
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.changing import (
    Intent,
    Step,
    cannot_write,
    clear,
    directory_of,
    intend,
    numbers,
    point,
    pointer,
    read_intent,
    recover_left_over,
    undone_on_failure,
    unfinished,
)
from triage_tui.rulebook.lock import locked
from triage_tui.rulebook.manifest import RELATIVE_PATH, Generation, SetAside, digest_of, verify
from triage_tui.rulebook.placeholders import unfilled
from triage_tui.runs.clock import local_time
from triage_tui.runs.events import default_actor
from triage_tui.runs.files import refuse_link, sync_directory, write_atomic
from triage_tui.text import safe_line

__all__ = [
    "ACTIVATE_STEPS",
    "ROLLBACK_STEPS",
    "Generation",
    "SetAside",
    "Step",
    "activate",
    "current",
    "history",
    "interrupted",
    "recover",
    "rollback",
    "verify",
]

ACTIVATE_STEPS = ("recovered", "intended", "written", "renamed", "noted", "linked", "pointed", "cleared")
"""Names of the durable steps of `activate`, in order; the new state is active from "pointed" on."""
ROLLBACK_STEPS = ("recovered", "intended", "noted", "linked", "pointed", "cleared")
"""The same for `rollback`, which makes nothing. "linked" is left out when the pointer is removed."""


Ready = Callable[[Path, "Generation | None"], None]
"""What is called with a target's directory and the generation (None: no rule) that is about to become active,
before that is announced; what it raises leaves the old state."""


def _no_step(_name: str) -> None:
    """Do nothing at a step; tests end the process here."""


def _no_ready(_target_dir: Path, _generation: Generation | None) -> None:
    """Make nothing ready."""


def current(target_dir: Path) -> Generation | None:
    """Return the active generation of a target, None when no rule is active. Takes no lock.

    Raises:
        TriageError: the pointer is not one of ours, or the generation it names cannot be read.
    """
    number = pointer(target_dir)
    return None if number is None else manifest.load(directory_of(target_dir, number))


def history(target_dir: Path) -> list[Generation]:
    """Return every readable generation of a target, oldest first, whether it is active or not.

    One that is being made, or whose making was interrupted, is none yet.
    """
    unmade = interrupted(target_dir)
    found = []
    for number in numbers(target_dir):
        if number == unmade:
            continue
        with contextlib.suppress(TriageError):
            found.append(manifest.load(directory_of(target_dir, number)))
    return found


def interrupted(target_dir: Path) -> int | None:
    """Return which generation a change writes that did not take place (yet): 0 for none, None: no change.

    The change is under way, or its program was killed. Takes no lock.
    """
    try:
        intent = read_intent(target_dir)
        return intent.made if intent is not None and pointer(target_dir) != intent.target else None
    except TriageError:
        return None


def recover(target_dir: Path) -> None:
    """Remove what a killed program left of a change, as the next change would.

    Raises:
        Conflict: a change is under way.
        TriageError: the rest cannot be read or removed.
    """
    refuse_link(target_dir, target_dir / "generations")
    with locked(target_dir):
        recover_left_over(target_dir)


def activate(
    target_dir: Path,
    *,
    add: Mapping[str, bytes],
    remove: Collection[str] = (),
    actor: str,
    reason: str,
    run: str = "",
    change: str = "",
    expect: int | None = None,
    kind: audit_log.Activation = "activated",
    set_aside: Mapping[str, SetAside] | None = None,
    ready: Ready = _no_ready,
    step: Step = _no_step,
) -> Generation:
    """Make a new generation out of the active one and activate it.

    `add` maps paths ("syscall/openat@fix-1.lua") to rule texts, `remove` names paths of the active
    generation. A file of the active generation that has no triage-rule header belongs to a person and is
    never replaced. `run` is the run that it was decided on, `change` names the change in the audit log;
    `expect` is the generation number that the decision was made on (0: none); `kind` is what the audit log
    calls the change. `set_aside` names rules that shall be kept without acting; those that are set aside
    already stay so until they are added. `step` is called with each name of `ACTIVATE_STEPS` after that step
    is durable.

    Raises:
        Conflict: a person's file is in the way, another change came first, or one is under way.
        TriageError: a name or rule is not allowed, or the active generation is damaged.
    """
    _check_names([*add, *remove, *(set_aside or {})])
    refuse_link(target_dir, target_dir / "generations")
    try:
        target_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(target_dir, error) from error
    with locked(target_dir):
        recover_left_over(target_dir)
        step("recovered")
        active = current(target_dir)
        _check_expected(active.number if active else 0, expect)
        contents = _merged(active, add, remove)
        number = max(numbers(target_dir), default=0) + 1
        generation = _described(number, active, contents, actor, reason)
        kept = {**(active.set_aside if active is not None else {}), **(set_aside or {})}
        generation.set_aside = {name: one for name, one in sorted(kept.items()) if name not in contents}
        generation.digest = digest_of(generation)
        generation.directory = directory_of(target_dir, number)
        temporary = unfinished(target_dir, number)
        intent = Intent(made=number, change=change or secrets.token_hex(8))
        with undone_on_failure(target_dir):
            intend(target_dir, intent)
            step("intended")
            _write(temporary, generation, contents)
            step("written")
            os.rename(temporary, generation.directory)
            sync_directory(generation.directory.parent)
            step("renamed")
            ready(target_dir, generation)
            changed = {name: generation.files[name] for name in sorted(add)}
            changed |= {name: one.sha256 for name, one in sorted((set_aside or {}).items())}
            parent = generation.parent or 0
            _note(target_dir, kind, intent, parent, generation, changed, actor, reason, run)
            step("noted")
            point(target_dir, number, step)
        clear(target_dir, step)
        return generation


def rollback(
    target_dir: Path,
    to: int | None = None,
    *,
    actor: str = "",
    reason: str = "",
    run: str = "",
    change: str = "",
    expect: int | None = None,
    ready: Ready = _no_ready,
    step: Step = _no_step,
) -> Generation | None:
    """Make an older generation active again and prove that its bytes are the old ones.

    `to` is its number, 0 means that no rule shall be active, None the one before the active one, which has to
    be readable for that alone. Returns the generation that is active now, None when no rule is. The
    generation that was active is kept. `actor` (the account at work where it is empty), `reason`, `run` and
    `change` are for the audit log.

    Raises:
        Conflict: another change came first or is under way.
        TriageError: there is nothing to roll back, no such generation, or it is not what it was.
    """
    if not target_dir.is_dir():
        raise TriageError("no rule was ever active for this target, so there is nothing to roll back")
    refuse_link(target_dir, target_dir / "generations")
    with locked(target_dir):
        recover_left_over(target_dir)
        step("recovered")
        before = pointer(target_dir) or 0
        _check_expected(before, expect)
        if not before and to is None:
            raise TriageError("no rule is active for this target, so there is nothing to roll back")
        # What is left needs not be readable: it is left because it is damaged, too.
        number = manifest.load(directory_of(target_dir, before)).parent or 0 if to is None else to
        goal = _proved(target_dir, number) if number else None
        intent = Intent(goal=number, change=change or secrets.token_hex(8))
        with undone_on_failure(target_dir):
            intend(target_dir, intent)
            step("intended")
            ready(target_dir, goal)
            _note(target_dir, "rolled_back", intent, before, goal, {}, actor or default_actor(), reason, run)
            step("noted")
            point(target_dir, number or None, step)
        clear(target_dir, step)
        if goal is not None:
            reached = current(target_dir)
            if reached is None or reached.digest != goal.digest or verify(reached):
                raise TriageError(f"generation {number} is active again but its bytes could not be proved")
        return goal


def _proved(target_dir: Path, number: int) -> Generation:
    """Return a generation whose bytes are those recorded by itself and by the generations after it."""
    directory = directory_of(target_dir, number)
    if not directory.is_dir():
        raise TriageError(f"there is no generation {number} to go back to")
    goal = manifest.load(directory)
    problems = verify(goal)
    for later in history(target_dir):
        if later.parent == number and later.parent_digest != goal.digest:
            problems.append(f"generation {number} is not the one that generation {later.number} was made of")
    if problems:
        raise TriageError(f"generation {number} is damaged and was not made active: {problems[0]}")
    return goal


# What a new generation holds


def _check_names(names: Collection[str]) -> None:
    for name in names:
        if not RELATIVE_PATH.fullmatch(name):
            raise TriageError(
                f"{safe_line(name, 100)!r} is no place for a rule (KIND/NAME.lua or KIND/NAME@ID.lua,"
                " KIND one of syscall, plugin, start)"
            )


def _check_expected(number: int, expect: int | None) -> None:
    if expect is not None and number != expect:
        raise Conflict(f"generation {number} is active by now, not {expect}: look again and decide anew")


def _merged(active: Generation | None, add: Mapping[str, bytes], remove: Collection[str]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    if active is not None:
        problems = verify(active)
        if problems:
            raise Conflict(f"the active rules were changed by hand: {problems[0]}")
        contents = {name: manifest.read_file(active, name) for name in active.files}
    for name in remove:
        if name not in contents:
            raise Conflict(f"{name} is not active, so it cannot be removed")
        del contents[name]
    for name, data in add.items():
        if name in contents and contents[name] != data and not rulefile.parse(contents[name]).has_header:
            raise Conflict(f"{name} was written by a person and is not replaced: rename or remove it first")
        rulefile.to_source(name, data)
        for line, wanted in unfilled(data):
            raise TriageError(f"{name}, line {line}: it is not filled in: {wanted}")
        contents[name] = data
    if len(contents) > manifest.MAX_FILES:
        raise TriageError(f"a generation holds at most {manifest.MAX_FILES} rules")
    return contents


def _described(
    number: int, active: Generation | None, contents: Mapping[str, bytes], actor: str, reason: str
) -> Generation:
    return Generation(
        number=number,
        parent=active.number if active else None,
        parent_digest=active.digest if active else "",
        created=local_time(),
        actor=actor,
        reason=reason,
        files={name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())},
        rule_ids=[rulefile.parse(data).header.id for _, data in sorted(contents.items())],
    )


def _write(directory: Path, generation: Generation, contents: Mapping[str, bytes]) -> None:
    files = {manifest.MANIFEST: manifest.encode(generation), **contents}
    for kind in {"syscall", *map(kinds.kind_of, contents)}:
        (directory / kind).mkdir(parents=True)
    for name, data in files.items():
        write_atomic(directory / name, data, mode=0o444)
    sync_directory(directory)
    sync_directory(directory.parent)


def _note(
    target_dir: Path,
    kind: str,
    intent: Intent,
    before: int,
    after: Generation | None,
    changed: Mapping[str, str],
    actor: str,
    reason: str,
    run: str,
) -> None:
    """Write into the audit log what is about to become active."""
    entry = audit_log.Entry(
        kind=kind,
        actor=actor,
        says=reason,
        run=run,
        target=target_dir.name,
        rules=dict(changed),
        before=before,
        after=after.number if after else 0,
        digest=after.digest if after else "",
        change=intent.change,
    )
    audit_log.append(target_dir.parent, entry)
