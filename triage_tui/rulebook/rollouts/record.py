"""What is kept of a rollout, and how it changes.

    rulebook/.rollout/<id>.json     one `Rollout`, replaced atomically: the truth of which stage it is in
    rulebook/.rollout/<id>.lua      the text of its rule

Where the rule acts follows from the stage: in no generation while it is observed, in those of the target, of
the group, and in that of all. `bring_about` makes the generations agree, and does nothing where they do; so a
program that is killed in between leaves the old stage, or the new one, which the next program brings about.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Literal, get_args

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook import generations
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.log import Entry
from triage_tui.rulebook.changing import Step, cannot_write
from triage_tui.rulebook.kinds import RULE_ID
from triage_tui.rulebook.manifest import RELATIVE_PATH
from triage_tui.rulebook.places import SHARED, target_directory
from triage_tui.rulebook.rollouts.criteria import Criteria
from triage_tui.rulebook.rulefile import MAX_RULE_BYTES
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, refuse_link, write_atomic
from triage_tui.runs.record import Record
from triage_tui.text import safe_line

ROLLOUT_DIR = ".rollout"
"""In the rulebook; no target's directory can begin with a dot."""
MAX_ROLLOUTS = 500
MAX_BYTES = 1 << 20
MAX_OBSERVED = 200
MAX_GROUP = 200

Stage = Literal["observe", "one", "group", "all"]
STAGES: tuple[Stage, ...] = get_args(Stage)
State = Literal["under_way", "stopped", "done"]

_PLACE = re.compile(r"[^./\0][^/\0]{0,254}")


class Moved(Record):
    """One step of a rollout. `kind` is that of its line in the audit log."""

    kind: Literal["rollout_started", "promoted", "stopped", "rollout_done"]
    stage: Stage
    wall: str
    actor: str
    why: str = ""


class Observed(Record):
    """What came of trying the rule at the recorded calls of one run, while it is observed.

    `calls` are those of its syscall, `matched` those that it acted at, `failed` says in what it failed.
    """

    run: str
    target: str
    calls: int = 0
    matched: int = 0
    unclear: int = 0
    failed: str = ""
    change: str = ""
    """Name of its line in the audit log."""


class Rollout(Record):
    """One rollout. `target` and `group` are ids of targets; `placed` names the directories of the rulebook in
    which it put the rule: what was active there before is none of its business.
    """

    id: str
    file: str
    """Path of the rule in a generation, "syscall/openat@fix-1.lua"."""
    rule: str
    """Id of the rule's header."""
    sha256: str
    target: str
    group: list[str] = []
    stage: Stage = "observe"
    state: State = "under_way"
    auto: bool = False
    """Whether it goes on by itself as soon as the criteria are met: the person who began it said so."""
    since: str = ""
    """When this stage began, local time with zone, ISO 8601."""
    criteria: Criteria = msgspec.field(default_factory=Criteria)
    moves: list[Moved] = []
    observed: list[Observed] = []
    placed: list[str] = []
    placing: list[str] = []
    """Of these, where its last change has still to put the rule."""
    left: list[str] = []
    """Directories that it leaves alone: somebody took the rule back there, and it went on anyway."""
    change: str = ""
    """Name of its last change."""
    version: int = 2
    """From 2 on, each of `observed` has its line in the audit log."""

    @property
    def members(self) -> list[str]:
        """The targets of the stage it is in, but for the stage of all: those that it came through."""
        return [self.target, *self.group] if self.stage in ("group", "all") else [self.target]

    @property
    def candidates(self) -> list[str]:
        """Every target that was named."""
        return [self.target, *self.group]

    @property
    def next_stage(self) -> Stage | None:
        """The stage after this one; that of a group is passed over where none was named."""
        later = STAGES[STAGES.index(self.stage) + 1 :]
        return next((stage for stage in later if stage != "group" or self.group), None)


def places_of(rulebook: Path, rollout: Rollout) -> list[str]:
    """Return the names of the directories in which the rule is to act at its stage."""
    if rollout.stage == "observe" or rollout.state == "stopped":
        return []
    names = [target_directory(rulebook, target).name for target in rollout.members]
    wanted = dict.fromkeys([*names, SHARED] if rollout.stage == "all" else names)
    return [name for name in wanted if name not in rollout.left]


def taken_back(rulebook: Path, rollout: Rollout) -> list[str]:
    """Return where the rule was put and does not act any more: rolled back, replaced, or set aside.

    A rollout does not put it there again.

    Raises:
        TriageError: the rules of a place cannot be read.
    """
    wanted = [name for name in places_of(rulebook, rollout) if name in rollout.placed]
    return [name for name in wanted if name not in rollout.placing and not has_rule(rulebook / name, rollout)]


# The files


def directory_of(rulebook: Path) -> Path:
    """Return where the rollouts of a rulebook lie."""
    return rulebook / ROLLOUT_DIR


def rollout_ids(rulebook: Path) -> list[str]:
    """Return the ids of the rollouts, sorted."""
    directory = directory_of(rulebook)
    if directory.is_symlink():
        return []  # In a workspace from elsewhere it may lead anywhere.
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    found = sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))
    return [name for name in found if RULE_ID.fullmatch(name)][:MAX_ROLLOUTS]


def read(rulebook: Path, identity: str) -> Rollout:
    """Return a rollout.

    Raises:
        TriageError: there is none of that id, or its file is damaged.
    """
    path = directory_of(rulebook) / f"{identity}.json"
    shown = safe_line(identity, 80)
    if not RULE_ID.fullmatch(identity) or path.parent.is_symlink() or not os.path.lexists(path):
        raise TriageError(f"there is no rollout {shown}: `triage-tui rollout list` names those there are")
    try:
        found = msgspec.json.decode(read_bounded(path, MAX_BYTES, whole=True), type=Rollout)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise TriageError(f"the rollout {shown} is damaged: {safe_line(str(error), 200)}") from None
    wrong = (
        found.id != identity
        or not RELATIVE_PATH.fullmatch(found.file)
        or not all(_PLACE.fullmatch(name) for name in found.placed)
        or len(found.group) > MAX_GROUP
    )
    if wrong:
        raise TriageError(f"the rollout {shown} is damaged: it names what it cannot")
    return found


def text_of(rulebook: Path, rollout: Rollout) -> bytes:
    """Return the text of its rule.

    Raises:
        TriageError: it is gone, or another one.
    """
    path = directory_of(rulebook) / f"{rollout.id}.lua"
    text = read_bounded(path, MAX_RULE_BYTES, whole=True)
    if hashlib.sha256(text).hexdigest() != rollout.sha256:
        raise TriageError(f"the rule of rollout {rollout.id} was changed after it began: stop it")
    return text


def write(rulebook: Path, rollout: Rollout, text: bytes | None = None) -> None:
    """Write a rollout, and the text of its rule where it begins.

    Raises:
        TriageError: it cannot be written; the old one stays.
    """
    directory = directory_of(rulebook)
    refuse_link(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if text is not None:
            write_atomic(directory / f"{rollout.id}.lua", text, mode=0o444)
        write_atomic(directory / f"{rollout.id}.json", encode_line(rollout) + b"\n")
    except OSError as error:
        raise cannot_write(directory, error) from error


def remove(rulebook: Path, rollout: Rollout) -> None:
    """Remove one that could not begin."""
    for suffix in (".json", ".lua"):
        (directory_of(rulebook) / f"{rollout.id}{suffix}").unlink(missing_ok=True)


# What follows from them


def has_rule(directory: Path, rollout: Rollout) -> bool:
    """Tell whether the very rule is active in a directory of the rulebook."""
    active = generations.current(directory)
    return active is not None and active.files.get(rollout.file) == rollout.sha256


def check_place(directory: Path, rollout: Rollout) -> None:
    """Refuse a place in which another rule has the rule's name.

    Raises:
        Conflict: names it.
        TriageError: the active rules there cannot be read.
    """
    active = generations.current(directory)
    there = active.files.get(rollout.file) if active is not None else None
    if active is not None and there is not None and there != rollout.sha256:
        raise Conflict(
            f"{rollout.file} is another rule in generation {active.number} of"
            f" {safe_line(directory.name, 80)}: roll it back or rename one of them first"
        )


def bring_about(rulebook: Path, rollout: Rollout, step: Step) -> None:
    """Put the rule where a change of a rollout has still to put it, and take it from where it is not to act.

    Where somebody took it back since, nothing is done. `step` is called with "placed" after each place that
    changed, and with "cleared" when nothing is left to do.

    Raises:
        TriageError: a place cannot be changed.
    """
    wanted = places_of(rulebook, rollout)
    trouble: TriageError | None = None
    for name in rollout.placed:
        try:
            changed = _bring_about(rulebook, rollout, name, name in wanted)
        except TriageError as error:
            # One damaged place must not keep the rule active in the others.
            trouble = trouble or error
            if name in wanted:
                break
            continue
        if changed:
            step("placed")
    if trouble is not None:
        raise trouble
    if rollout.placing:
        rollout.placing = []
        write(rulebook, rollout)
    step("cleared")


def _bring_about(rulebook: Path, rollout: Rollout, name: str, wanted: bool) -> bool:
    """Make one place agree; return whether anything was changed there."""
    directory = rulebook / name
    if wanted and name not in rollout.placing:
        return False
    if has_rule(directory, rollout) == wanted:
        return False
    actor = rollout.moves[-1].actor if rollout.moves else ""
    why = f"rollout {rollout.id}: {in_words(rollout)}"
    if wanted:
        check_place(directory, rollout)
        text = text_of(rulebook, rollout)
        generations.activate(directory, add={rollout.file: text}, actor=actor, reason=why)
    else:
        generations.activate(directory, add={}, remove=[rollout.file], actor=actor, reason=why)
    return True


def in_words(rollout: Rollout) -> str:
    """Return in which stage a rollout is, in a few words."""
    if rollout.state == "stopped":
        return "stopped"
    stage = {
        "observe": "observed, it acts nowhere",
        "one": "acts for one target",
        "group": f"acts for a group of {len(rollout.members)} targets",
        "all": "acts for all targets",
    }[rollout.stage]
    return f"{stage}; done" if rollout.state == "done" else stage


def digest_of(rollout: Rollout) -> str:
    """Return the SHA-256 over what was decided: all but what is observed, and what is still to be done."""
    decided = msgspec.structs.replace(rollout, observed=[], placing=[])
    return hashlib.sha256(encode_line(decided)).hexdigest()


def entry_of(rollout: Rollout) -> Entry:
    """Return the line of the audit log that tells of the last step of a rollout, which has one."""
    last = rollout.moves[-1]
    why = f": {last.why}" if last.why else ""
    return Entry(
        kind=last.kind,
        actor=last.actor,
        says=safe_line(f"rollout {rollout.id}: {in_words(rollout)}{why}", 900),
        target=rollout.target,
        rules={rollout.file: rollout.sha256},
        digest=digest_of(rollout),
        change=rollout.change,
    )


def tell(rulebook: Path, rollout: Rollout) -> None:
    """Write the last step of a rollout into the audit log, where it is not there.

    Raises:
        TriageError: the log cannot be written.
    """
    if not rollout.moves:
        return
    # Opening it for writing mends a head that a killed program left behind.
    with audit_log.writing(rulebook) as log:
        if audit_log.announcement(rulebook, rollout.change) is None:
            log.append(entry_of(rollout))
