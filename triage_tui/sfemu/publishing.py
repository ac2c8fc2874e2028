"""The active rules of a rule directory, published as files that SFEmu loads.

The truth is the active generation of our rulebook; what is published follows from it: one file a syscall,
with all its active rules (`rule_text`), see `published_files` for where.

A change of the active generation is made ready before it takes place, so that a full disk, a directory that
cannot be written or a file of a person refuses it with nothing changed; its files get their names after it.
What a killed program left in between is settled by `settle`. A file that is not ours is never touched, and
neither is one of ours that somebody changed.
"""

from __future__ import annotations

import os
from pathlib import Path

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook import generations, layers, targets
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.kinds import PLACE
from triage_tui.rulebook.lock import locked
from triage_tui.rulebook.places import target_directory
from triage_tui.sfemu import published_files, rules_dir, target
from triage_tui.sfemu.asked import asked_as
from triage_tui.sfemu.published_files import (
    Plan,
    Published,
    carry_out,
    digest,
    on_disk,
    read_state,
)
from triage_tui.sfemu.rule_text import MARK, rule_text
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import number_of, safe_line


def make_ready(rules: RulesDirectory, target_dir: Path, generation: Generation | None) -> None:
    """Write what a generation (None: no rule) of a target publishes, without putting it in force.

    Of another target than the one of the rule directory nothing is published.

    Raises:
        Conflict: a file of a person is in the way.
        TriageError: it cannot be written, or a rule cannot run on SFEmu; nothing was changed.
    """
    if target_dir != target_dir_of(rules):
        return
    with locked(rules.home):
        state = read_state(rules)
        plan = _planned(rules, state, generation)
        if plan.problems:
            raise plan.problems[0]
        published_files.make_ready(rules, state, plan)


def put_in_force(rules: RulesDirectory) -> str:
    """Let the files follow the active generation; say what is published, "" for no change.

    Raises:
        TriageError: they do not follow it, and why not.
    """
    plan = settle(rules)
    if plan.problems:
        raise plan.problems[0]
    return in_words(plan)


def settle_home(root: Path) -> None:
    """Let what is published follow the active generation, where `root` is the workspace of a rule directory.

    Raises:
        TriageError: it cannot, and why not.
    """
    rules = rules_dir.around(root)
    if rules is not None:
        settle(rules)


def settle(rules: RulesDirectory) -> Plan:
    """Let what is published follow the active generation; return what was changed for that.

    A file that somebody else's is in the way of stays as it is, and is among the problems.

    Raises:
        TriageError: it cannot be read or written.
    """
    with locked(rules.home):
        published_files.remove_leftovers(rules)
        state = read_state(rules)
        active = generations.current(target_dir_of(rules))
        if active is None and state == Published():
            return Plan()
        plan = _planned(rules, state, active)
        carry_out(rules, state, plan)
        return plan


def wanted(rules: RulesDirectory, generation: Generation | None) -> dict[str, bytes]:
    """Return the files that a generation publishes, by their paths below the rule directory.

    Raises:
        TriageError: a rule cannot run on SFEmu, or the generation was changed after it was made.
    """
    if generation is None:
        return {}
    described = targets.description(target_dir_of(rules))
    arch = described.arch if described is not None else ""
    by_call: dict[str, dict[str, bytes]] = {}
    for rule in layers.rules_of("target", generation):
        place = PLACE.fullmatch(rule.name)
        for call in _called(rules, place["syscall"] if place else "", arch):
            by_call.setdefault(call, {})[rule.name] = rule.source
    here = place_of(rules)
    directory = str(here.relative_to(rules.root))
    return {
        f"{directory}/{call}.lua": rule_text(call, texts, arch, directory) for call, texts in by_call.items()
    }


def _called(rules: RulesDirectory, call: str, arch: str) -> tuple[str, ...]:
    """Return the files in which SFEmu looks for rules about a call: by the name that it has for it."""
    names = rules.named_by_number
    if names is None:
        # Of a script of somebody's own: ARM's newer select goes by the name of the older one as well.
        return (call, "select") if call == "_newselect" else (call,)
    return (asked_as(call, arch, names) or call,)


def target_dir_of(rules: RulesDirectory) -> Path:
    """Return where the generations of a rule directory lie."""
    return target_directory(rules.home / "rulebook", target.target_id(rules))


def place_of(rules: RulesDirectory) -> Path:
    """Return the directory to publish in: the first that SFEmu looks into below the rule directory.

    One outside of it may be that of other programs as well, and the rule directory itself holds the scripts
    of SFEmu.
    """
    return next(path for path in rules.lookup_dirs if rules.root in path.parents)


# What is to change


def _planned(rules: RulesDirectory, state: Published, generation: Generation | None) -> Plan:
    plan = Plan()
    try:
        texts = wanted(rules, generation)
    except TriageError as error:
        return Plan(problems=[error])
    for name in sorted(texts.keys() | state.files.keys()):
        text = texts.get(name)
        try:
            if text is not None:
                _check_way(rules, name)
            there = on_disk(rules, name)
            if there not in (None, text):
                _check_ours(rules, state, name, there or b"")
        except TriageError as error:
            plan.problems.append(error)
            continue
        if text is None and there is not None:
            plan.gone.append(name)
        elif text is not None and there != text:
            plan.texts[name] = text
    return plan


def _check_way(rules: RulesDirectory, name: str) -> None:
    """Refuse where SFEmu would find another file first, or a link leads out of the rule directory."""
    path = rules.root / name
    directory = path.parent
    if os.path.realpath(directory) != os.path.join(os.path.realpath(rules.root), os.path.dirname(name)):
        raise TriageError(
            f"{safe_line(str(directory))} is reached by a link, so nothing was published there: put a"
            " directory in its place"
        )
    for before in rules.lookup_dirs:
        if before == directory:
            return
        if os.path.lexists(before / path.name):
            raise Conflict(
                f"{safe_line(str(before / path.name))} would hide {safe_line(name)}, so nothing was changed:"
                " move it away first"
            )


def _check_ours(rules: RulesDirectory, state: Published, name: str, there: bytes) -> None:
    if digest(there) in state.files.get(name, []):
        return
    if there.startswith(MARK):
        raise Conflict(
            f"{safe_line(name)} was changed by hand since it was published, so nothing was changed: move it"
            " away, or bring its change into the rule with `triage-tui edit` and remove it"
        )
    path = rules.root / name
    behind = rules.lookup_dirs[rules.lookup_dirs.index(path.parent) + 1 :]
    # The published rule asks the next file that there is, and no other: behind that this one would be lost.
    free = next((one / path.name for one in behind[:1] if not os.path.lexists(one / path.name)), None)
    where = f"move it to {_below(rules, free)}, where the published rule asks it" if free else ""
    raise Conflict(
        f"{safe_line(name)} is not ours and is never overwritten, so nothing was changed:"
        f" {where or 'rename it first, or put the rule into it by hand'}"
    )


def _below(rules: RulesDirectory, path: Path) -> str:
    shown = path.relative_to(rules.root) if path.is_relative_to(rules.root) else path
    return safe_line(str(shown))


def in_words(plan: Plan) -> str:
    """Return what was published and taken away, "" for nothing."""
    texts, gone = sorted(plan.texts), sorted(plan.gone)
    told = [f"published as {_listed(texts)}"] if texts else []
    if gone:
        told.append(f"{_listed(gone)} taken away")
    return safe_line(", ".join(told), 400)


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {number_of(len(names) - 1, 'more file')}"
