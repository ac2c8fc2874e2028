"""The active rules of a target: immutable generations and one pointer that moves atomically.

    rulebook/<target id>/
        generations/0001/ 0002/ ...     see `manifest`; files read-only, never changed again
        current -> generations/0002     the active generation; no link, no active rules
        .lock                           flock(2): one change at a time
        .intent.json                    only while a generation is being made

Making a generation begins with writing down its number, so that after a crash at any moment the next change
finds exactly the old or the new state and removes what was left over. Readers need no lock: they follow one
link.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook import manifest, rulefile
from triage_tui.rulebook.lock import locked
from triage_tui.rulebook.manifest import RELATIVE_PATH, Generation, digest_of, verify
from triage_tui.rulehost.protocol import RuleSource
from triage_tui.runs.files import read_bounded, sync_directory, write_atomic
from triage_tui.text import safe_line

__all__ = [
    "ACTIVATE_STEPS",
    "ROLLBACK_STEPS",
    "Generation",
    "activate",
    "current",
    "history",
    "rollback",
    "rules",
    "verify",
]

ACTIVATE_STEPS = ("recovered", "intended", "written", "renamed", "linked", "pointed", "cleared")
"""Names of the durable steps of `activate`, in order; the new state is active from "pointed" on."""
ROLLBACK_STEPS = ("recovered", "linked", "pointed")
"""The same for `rollback`, which makes nothing. "linked" is left out when the pointer is removed."""

_POINTER = "current"
_INTENT = ".intent.json"
_LINK = re.compile(r"generations/(\d{4,9})")
_DIRECTORY = re.compile(r"\d{4,9}")
_MAX_INTENT_BYTES = 4096

Step = Callable[[str], None]


class _Intent(msgspec.Struct):
    """What a change is about to do: `made` is the number of the generation that it writes."""

    made: int


def _no_step(_name: str) -> None:
    """Do nothing at a step; tests end the process here."""


def current(target_dir: Path) -> Generation | None:
    """Return the active generation of a target, None when no rule is active. Takes no lock.

    Raises:
        TriageError: the pointer is not one of ours, or the generation it names cannot be read.
    """
    number = _pointer(target_dir)
    return None if number is None else manifest.load(_directory(target_dir, number))


def history(target_dir: Path) -> list[Generation]:
    """Return every readable generation of a target, oldest first, whether it is active or not."""
    found = []
    for number in _numbers(target_dir):
        with contextlib.suppress(TriageError):
            found.append(manifest.load(_directory(target_dir, number)))
    return found


def rules(generation: Generation) -> list[RuleSource]:
    """Return the rules of a generation for the rule host, in the order in which they are asked.

    Raises:
        TriageError: the generation was changed after it was made, so none of it is run.
    """
    problems = verify(generation)
    if problems:
        raise TriageError(f"the active rules were not loaded: {problems[0]}")
    directory = str(generation.directory)
    return [
        rulefile.to_source(name, manifest.read_file(generation, name), directory)
        for name in sorted(generation.files)
    ]


def activate(
    target_dir: Path,
    *,
    add: Mapping[str, bytes],
    remove: Collection[str] = (),
    actor: str,
    reason: str,
    expect: int | None = None,
    step: Step = _no_step,
) -> Generation:
    """Make a new generation out of the active one and activate it.

    `add` maps paths ("syscall/openat@fix-1.lua") to rule texts, `remove` names paths of the active
    generation. A file of the active generation that has no triage-rule header belongs to a person and is
    never replaced. `expect` is the generation number that the decision was made on (0: none); `step` is
    called with each name of `ACTIVATE_STEPS` after that step is durable.

    Raises:
        Conflict: a person's file is in the way, another change came first, or one is under way.
        TriageError: a name or rule is not allowed, or the active generation is damaged.
    """
    _check_names([*add, *remove])
    target_dir.mkdir(parents=True, exist_ok=True)
    with locked(target_dir):
        _recover(target_dir)
        step("recovered")
        active = current(target_dir)
        _check_expected(active, expect)
        contents = _merged(active, add, remove)
        number = max(_numbers(target_dir), default=0) + 1
        generation = _described(number, active, contents, actor, reason)
        generation.directory = _directory(target_dir, number)
        temporary = _unfinished(target_dir, number)
        _intend(target_dir, number)
        step("intended")
        _write(temporary, generation, contents)
        step("written")
        os.rename(temporary, generation.directory)
        sync_directory(generation.directory.parent)
        step("renamed")
        _point(target_dir, number, step)
        _clear(target_dir, step)
        return generation


def rollback(
    target_dir: Path,
    to: int | None = None,
    *,
    expect: int | None = None,
    step: Step = _no_step,
) -> Generation | None:
    """Make an older generation active again and prove that its bytes are the old ones.

    `to` is its number, 0 means that no rule shall be active, None the one before the active one. Returns
    the generation that is active now, None when no rule is. The generation that was active is kept.

    Raises:
        Conflict: another change came first or is under way.
        TriageError: there is nothing to roll back, no such generation, or it is not what it was.
    """
    if not target_dir.is_dir():
        raise TriageError("no rule was ever active for this target, so there is nothing to roll back")
    with locked(target_dir):
        _recover(target_dir)
        step("recovered")
        active = current(target_dir)
        _check_expected(active, expect)
        if active is None and to is None:
            raise TriageError("no rule is active for this target, so there is nothing to roll back")
        number = active.parent or 0 if active is not None and to is None else to or 0
        goal = _proved(target_dir, number) if number else None
        _point(target_dir, number or None, step)
        if goal is not None:
            reached = current(target_dir)
            if reached is None or reached.digest != goal.digest or verify(reached):
                raise TriageError(f"generation {number} is active again but its bytes could not be proved")
        return goal


def _proved(target_dir: Path, number: int) -> Generation:
    """Return a generation whose bytes are those recorded by itself and by the generations after it."""
    directory = _directory(target_dir, number)
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
                f"{safe_line(name, 100)!r} is no place for a rule (syscall/NAME.lua or syscall/NAME@ID.lua)"
            )


def _check_expected(active: Generation | None, expect: int | None) -> None:
    number = active.number if active else 0
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
        contents[name] = data
    if len(contents) > manifest.MAX_FILES:
        raise TriageError(f"a generation holds at most {manifest.MAX_FILES} rules")
    return contents


def _described(
    number: int, active: Generation | None, contents: Mapping[str, bytes], actor: str, reason: str
) -> Generation:
    generation = Generation(
        number=number,
        parent=active.number if active else None,
        parent_digest=active.digest if active else "",
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        actor=actor,
        reason=reason,
        files={name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())},
        rule_ids=[rulefile.parse(data).header.id for _, data in sorted(contents.items())],
    )
    generation.digest = digest_of(generation)
    return generation


def _write(directory: Path, generation: Generation, contents: Mapping[str, bytes]) -> None:
    files = {manifest.MANIFEST: manifest.encode(generation), **contents}
    (directory / "syscall").mkdir(parents=True)
    for name, data in files.items():
        write_atomic(directory / name, data, mode=0o444)
    sync_directory(directory)
    sync_directory(directory.parent)


# The pointer and its recovery


def _pointer(target_dir: Path) -> int | None:
    path = target_dir / _POINTER
    try:
        link = os.readlink(path)
    except FileNotFoundError:
        return None
    except OSError:
        raise Conflict(f"{safe_line(str(path))} is not a link of triage-tui: move it away first") from None
    found = _LINK.fullmatch(link)
    if found is None:
        raise Conflict(f"{safe_line(str(path))} leads to {safe_line(link, 100)}: move it away first")
    return int(found[1])


def _directory(target_dir: Path, number: int) -> Path:
    return target_dir / "generations" / f"{number:04}"


def _unfinished(target_dir: Path, number: int) -> Path:
    """Where a generation is written before it gets its name."""
    return target_dir / "generations" / f".new-{number:04}"


def _numbers(target_dir: Path) -> list[int]:
    try:
        names = os.listdir(target_dir / "generations")
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if _DIRECTORY.fullmatch(name))


def _point(target_dir: Path, number: int | None, step: Step) -> None:
    """Move the pointer: a reader sees the old or the new one."""
    path = target_dir / _POINTER
    if number is None:
        path.unlink(missing_ok=True)
    else:
        temporary = target_dir / f".{_POINTER}.new"
        temporary.unlink(missing_ok=True)
        os.symlink(f"generations/{number:04}", temporary)
        step("linked")
        os.replace(temporary, path)
    sync_directory(target_dir)
    step("pointed")


def _intend(target_dir: Path, number: int) -> None:
    (target_dir / "generations").mkdir(exist_ok=True)
    write_atomic(target_dir / _INTENT, msgspec.json.encode(_Intent(number)))


def _clear(target_dir: Path, step: Step) -> None:
    (target_dir / _INTENT).unlink()
    sync_directory(target_dir)
    step("cleared")


def _recover(target_dir: Path) -> None:
    """Remove what an interrupted change left over; the pointer alone says whether it took place."""
    for leftover in (f".{_POINTER}.new", *_temporaries(target_dir)):
        (target_dir / leftover).unlink(missing_ok=True)
    path = target_dir / _INTENT
    if not path.exists():
        return
    try:
        intent = msgspec.json.decode(read_bounded(path, _MAX_INTENT_BYTES), type=_Intent)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TriageError(f"{safe_line(str(path))} is damaged, remove it: {error}") from None
    if _pointer(target_dir) != intent.made:
        _remove_tree(_unfinished(target_dir, intent.made))
        _remove_tree(_directory(target_dir, intent.made))
    path.unlink()
    sync_directory(target_dir)


def _temporaries(target_dir: Path) -> list[str]:
    return [name for name in os.listdir(target_dir) if name.startswith(f".{_INTENT}.")]


def _remove_tree(directory: Path) -> None:
    """Remove a generation that never became active, if it is there."""
    if directory.is_dir():
        shutil.rmtree(directory)
