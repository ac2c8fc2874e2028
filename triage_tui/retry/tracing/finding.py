"""What a name that a trace is asked for means: a run, a rule, or a story."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.tracing.model import Subject
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, patches, statistics
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.listing import RunSummary, list_runs, run_dirs
from triage_tui.runs.stories import story_of
from triage_tui.text import safe_line

_STORY = re.compile(r"[0-9a-f]{12}\Z")
_DIGEST = re.compile(r"[0-9a-f]{6,64}\Z")
_NUMBER = re.compile(r"[0-9_]{1,24}\Z")
_FILE_ID = re.compile(r"(?:.*/)?[^/@]+@([^/@]+)\.lua\Z")
_MAX_NAMED = 5
_MAX_RUNS = 400
"""Runs, the newest, whose proposals are looked through for a rule."""
_LEAST = 4
"""Letters by which a rule is looked for."""


class Found(msgspec.Struct):
    """What a name means."""

    of: Subject
    name: str
    """The run's id, the rule's id, the story's name."""
    sha256: list[str] = []
    """Of a rule: the texts that it had, those that are known."""
    runs: list[str] = []
    """Of a rule that no rulebook knows: the runs that propose it, the oldest first."""


def find(workspace: Workspace, name: str, wanted: Subject | None = None) -> Found:
    """Return what `name` means; `wanted` says what kind it is.

    A run is named as everywhere: by its id, a unique ending of it, or `last`; a rule by its id, a part of
    that, its file, or the beginning of its SHA-256; a story by its name, or by one of its runs where `wanted`
    says so. A number is the ending of a run, and only where no run ends so the beginning of a SHA-256.

    Raises:
        TriageError: there is nothing of that name, or several things.
    """
    if wanted in (None, "story") and _STORY.match(name) and _is_story(workspace, name):
        return Found("story", name)
    if wanted == "story":
        return _story_of_run(workspace, name)
    if wanted == "run" or name == "last" or is_run_id(name):
        return Found("run", workspace.run_dir(name).name)
    if wanted is None and _NUMBER.match(name):
        # Identifiers of rules hold digits, too: without this a number would mean whatever holds it.
        if any(path.name.endswith(name) for path in run_dirs(workspace.runs_dir)):
            return Found("run", workspace.run_dir(name).name)
        rules = rules_named(workspace.rulebook, name) if _DIGEST.match(name) else {}
        if not rules:
            return Found("run", workspace.run_dir(name).name)
        return _one_rule(name, rules, {})
    if len(name) >= _LEAST:
        word = match[1] if (match := _FILE_ID.match(name)) is not None else name
        rules = rules_named(workspace.rulebook, word)
        proposed = {} if rules else _proposed(workspace.runs_dir, word)
        if rules or proposed:
            return _one_rule(name, rules, proposed)
    if wanted == "rule":
        few = "" if len(name) >= _LEAST else f"; give at least {_LEAST} letters of it"
        raise TriageError(
            f"no rule of this workspace has {safe_line(name, 60)!r} in its id or as its SHA-256{few}"
        )
    try:
        return Found("run", workspace.run_dir(name).name)
    except TriageError as error:
        shown = safe_line(name, 60)
        raise TriageError(
            f"{shown!r} names no rule and no story here (`triage-tui list --json` names stories), and {error}"
        ) from None


def _is_story(workspace: Workspace, name: str) -> bool:
    return any(story_of(one) == name for one in _runs(workspace))


def _story_of_run(workspace: Workspace, name: str) -> Found:
    try:
        run_id = workspace.run_dir(name).name
    except TriageError as error:
        raise TriageError(
            f"{safe_line(name, 60)!r} names no story here (`triage-tui list --json` names them), and {error}"
        ) from None
    return Found("story", next(story_of(one) for one in _runs(workspace) if one.run_id == run_id))


def _one_rule(name: str, rules: dict[str, list[str]], proposed: dict[str, list[str]]) -> Found:
    """Return the one rule that is meant.

    Raises:
        TriageError: there are several.
    """
    meant = [*rules, *proposed]
    if len(meant) > 1:
        shown = ", ".join(safe_line(one, 80) for one in meant[:_MAX_NAMED])
        more = f" and {len(meant) - _MAX_NAMED} more" if len(meant) > _MAX_NAMED else ""
        raise TriageError(
            f"{len(meant)} rules are meant by {safe_line(name, 60)!r}: {shown}{more}; give more of its name"
        )
    return Found("rule", meant[0], rules.get(meant[0], []), proposed.get(meant[0], []))


def _runs(workspace: Workspace) -> list[RunSummary]:
    return list_runs(workspace.runs_dir)


def rules_named(rulebook: Path, word: str) -> dict[str, list[str]]:
    """Return the rules that a word means, by their ids, each with the SHA-256 of its texts."""
    found: dict[str, list[str]] = {}
    digest = _DIGEST.match(word) is not None
    for ident, sha in _known_rules(rulebook):
        if word and (word in ident or (digest and sha.startswith(word))):
            shas = found.setdefault(ident, [])
            if sha and sha not in shas:
                shas.append(sha)
    return {word: found[word]} if word in found else found


def _proposed(runs_dir: Path, word: str) -> dict[str, list[str]]:
    """Return the rules with a word in their ids that the newest runs propose, each with these runs."""
    found: dict[str, list[str]] = {}
    for run_dir in reversed(run_dirs(runs_dir)[:_MAX_RUNS]):
        for name in patches.list_rules(run_dir):
            match = _FILE_ID.match(name)
            if match is not None and word in match[1]:
                found.setdefault(match[1], []).append(run_dir.name)
    return {word: found[word]} if word in found else found


def _known_rules(rulebook: Path) -> Iterable[tuple[str, str]]:
    """Yield id and SHA-256 of the rules that generations, the audit log and the counts name."""
    for target in _targets(rulebook):
        for made in generations.history(target):
            ids = dict(zip(sorted(made.files), made.rule_ids, strict=False))
            yield from ((ids.get(name, name), sha) for name, sha in made.files.items())
    try:
        lines, _rest = audit_log.read_log(rulebook)
    except TriageError:
        lines = []
    for line in lines:
        for name, sha in (line.entry.rules if line.entry is not None else {}).items():
            if (match := _FILE_ID.match(name)) is not None:
                yield match[1], sha
    for total in statistics.totals(statistics.uses(rulebook)).values():
        yield total.rule, total.sha256


def _targets(rulebook: Path) -> list[Path]:
    try:
        return sorted(
            one for one in rulebook.iterdir() if one.name[0] != "." and one.is_dir() and not one.is_symlink()
        )
    except OSError:
        return []


def generations_with(rulebook: Path, shas: Iterable[str]) -> list[tuple[str, generations.Generation, str]]:
    """Return target, generation and file name of each place where a rule of these texts is kept."""
    wanted = set(shas)
    return [
        (target.name, made, name)
        for target in _targets(rulebook)
        for made in generations.history(target)
        for name, sha in made.files.items()
        if sha in wanted
    ]
