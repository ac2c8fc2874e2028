"""Find the rules that a person names: files, what a run proposes, what is active, an older generation."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import changing, generations, manifest, patches, rulefile
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.kinds import FILE_NAME, Kind, kind_of
from triage_tui.rulebook.places import SHARED, own_directories
from triage_tui.runs.files import read_bounded, real_path
from triage_tui.text import safe_line

FORMS = (
    "a file or directory, RUN or RUN:FILE (what a run proposes), `active` or active:TARGET,"
    " TARGET@N (generation N, 0 for no rule)"
)
"""How rules are named, for help texts."""

MAX_RULES = 5000
_GENERATION = re.compile(r"(?P<target>[^@/]{1,80})@(?P<number>[0-9]{1,9})")


class NamedRule(msgspec.Struct, frozen=True):
    """One rule text and where it is from.

    `name` is what a person calls it by; `file` is its file name, which holds the syscall, below the directory
    that says its kind ("syscall/openat@fix-1.lua"; without one it is for a syscall). `run_id` and
    `target_id` are empty for a file that belongs to no run or target.
    """

    name: str
    file: str
    source: bytes
    run_id: str = ""
    target_id: str = ""
    path: Path | None = None
    """The file that a person named; None for what belongs to a run or a generation."""
    for_all: bool = False
    """It acts for every target."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        return kind_of(self.file)

    @property
    def syscalls(self) -> frozenset[str]:
        """The syscalls about which it is asked; none where it cannot be one that is asked."""
        if self.kind == "plugin":
            with contextlib.suppress(TriageError):
                return rulefile.to_source(self.file, self.source).syscalls
        return frozenset((self.syscall,)) - {""}

    @property
    def syscall(self) -> str:
        """The syscall of its file name, "" when it is not named like a rule or is of another kind."""
        found = FILE_NAME.fullmatch(self.file.rpartition("/")[2]) if self.kind == "syscall" else None
        return found["syscall"] if found else ""


class Unread(msgspec.Struct, frozen=True):
    """A rule that was named and cannot be read, or is none; `name` and `file` are those of a `NamedRule`."""

    name: str
    file: str
    why: str

    @property
    def sentence(self) -> str:
        """What is wrong with which file, safe to show."""
        return safe_line(self.why if self.name in self.why else f"{self.name}: {self.why}", 600)


def named(workspace: Workspace, texts: Sequence[str], unread: list[Unread] | None = None) -> list[NamedRule]:
    """Return the rules that `texts` name (`FORMS`), every active one of the workspace for none.

    A file that cannot be read is put into `unread`, so that the others are looked at.

    Raises:
        TriageError: one of them names nothing, there are too many, or, without `unread`, one cannot be read.
    """
    found: dict[str, NamedRule] = {}
    for text in texts or ["active"]:
        for rule in _of(workspace, text, unread):
            found[rule.name] = rule
            if len(found) > MAX_RULES:
                raise TriageError(f"these are more than {MAX_RULES} rules: name fewer of them")
    return list(found.values())


def one(workspace: Workspace, text: str) -> NamedRule:
    """Return the one rule that `text` names.

    Raises:
        TriageError: it names none or several.
    """
    found = named(workspace, [text])
    if len(found) != 1:
        names = ", ".join(safe_line(rule.name, 100) for rule in found[:4])
        raise TriageError(f"{safe_line(text, 80)!r} names {len(found)} rules, not one: {names or 'none'}")
    return found[0]


def legible(rules: Iterable[NamedRule], unread: list[Unread]) -> list[NamedRule]:
    """Return the rules whose names, headers and tables can be read; the others are put into `unread`."""
    found = []
    for rule in rules:
        try:
            rulefile.to_source(rule.file, rule.source)
        except TriageError as error:
            unread.append(Unread(rule.name, rule.file, str(error)))
        else:
            found.append(rule)
    return found


def with_calls(rules: Iterable[NamedRule]) -> tuple[list[NamedRule], list[NamedRule]]:
    """Return the rules that are asked at calls, and those that change the program's start."""
    given = list(rules)
    asked = [rule for rule in given if rule.kind != "start"]
    return asked, [rule for rule in given if rule.kind == "start"]


def targets(workspace: Workspace) -> list[str]:
    """Return the ids of the targets that have a rulebook, sorted."""
    place = workspace.root / "rulebook"
    try:
        return sorted(path.name for path in place.iterdir() if (path / "generations").is_dir())
    except OSError:
        return []


def directory_of(workspace: Workspace, target_id: str) -> Path:
    """Return the directory of the generations of a target, or of those that all targets share ("shared")."""
    return workspace.shared_dir if target_id == SHARED else workspace.rulebook_dir(target_id)


def target_named(workspace: Workspace, text: str) -> str:
    """Return the target that `text` names: the start of its id, one of its runs, or "shared".

    Raises:
        TriageError: it names none, or several.
    """
    if text == SHARED:
        return SHARED
    if any(text and target.startswith(text) for target in targets(workspace)):
        return target_of(workspace, text)
    try:
        directory = workspace.run_dir(text)
    except TriageError as error:
        raise TriageError(f"no target with rules has an id that begins with this; {error}") from None
    if target_id := workspace.load(directory.name).snapshot.target.target_id:
        return target_id
    raise TriageError(f"run {directory.name} does not say of which target it is")


def active_of(workspace: Workspace, target_id: str) -> list[NamedRule]:
    """Return the active rules of a target, none when no rule is.

    Raises:
        TriageError: the rulebook is damaged.
    """
    active = generations.current(directory_of(workspace, target_id)) if target_id else None
    return list(_in_generation(target_id, active)) if active is not None else []


def _of(workspace: Workspace, text: str, unread: list[Unread] | None) -> Iterable[NamedRule]:
    path = Path(text)
    if text and path.is_dir():
        return _in_directory(workspace, path, unread)
    if text and (path.exists() or "/" in text.partition(":")[0]):
        return _in_files(workspace, [(text, path)], unread)
    if text == "active":
        return [rule for target in targets(workspace) for rule in active_of(workspace, target)]
    if text.startswith("active:"):
        return active_of(workspace, target_of(workspace, text.removeprefix("active:")))
    if (of_generation := _GENERATION.fullmatch(text)) is not None:
        target = target_of(workspace, of_generation["target"])
        number = int(of_generation["number"])
        if number == 0:
            return []  # No rule, as in a roll back.
        return _in_generation(target, generation(workspace, target, number))
    return _of_run(workspace, text, unread)


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, rulefile.MAX_RULE_BYTES, whole=True)
    except OSError as error:
        raise TriageError(f"{safe_line(str(path))} cannot be read: {error.strerror or error}") from None


def _in_files(
    workspace: Workspace, files: Iterable[tuple[str, Path]], unread: list[Unread] | None
) -> Iterator[NamedRule]:
    *_, own = own_directories(real_path(workspace.rulebook), "")
    for name, path in files:
        try:
            source = _read(path)
        except TriageError as error:
            if unread is None:
                raise
            unread.append(Unread(name, _below(path), str(error)))
        else:
            # In the directory of its kind, not in that of a target.
            for_all = real_path(path).parent.parent == own
            yield NamedRule(name, _below(path), source, path=path, for_all=for_all)


def _in_directory(workspace: Workspace, directory: Path, unread: list[Unread] | None) -> Iterable[NamedRule]:
    # Links and pipes too: they are told of instead of being left out. What cannot be listed, or goes away
    # meanwhile, holds no rule to be read.
    paths = sorted(
        Path(parent, name)
        for parent, below, files in os.walk(directory)
        for name in files + [one for one in below if os.path.islink(os.path.join(parent, one))]
        if name.endswith(".lua")
    )
    if not paths:
        raise TriageError(f"there is no rule (*.lua) in {safe_line(str(directory))}")
    if len(paths) > MAX_RULES:
        raise TriageError(
            f"{safe_line(str(directory))} holds more than {MAX_RULES} rules: name fewer of them"
        )
    return _in_files(workspace, [(str(path), path) for path in paths], unread)


def _below(path: Path) -> str:
    """Return the end of a path that says what a rule is: its file below the directory of its kind."""
    kind = kind_of(str(path.absolute()))
    return path.name if kind == "syscall" else f"{kind}/{path.name}"


def _of_run(workspace: Workspace, text: str, unread: list[Unread] | None) -> Iterator[NamedRule]:
    run_name, _, file = text.partition(":")
    try:
        directory = workspace.run_dir(run_name)
    except TriageError as error:
        raise TriageError(f"{safe_line(text, 80)!r} names no rule (it can be {FORMS}); {error}") from None
    target_id = workspace.load(directory.name).snapshot.target.target_id
    files = [file] if file else patches.list_rules(directory)
    for name in files:
        called, below = f"{directory.name}:{name}", "/".join(name.split("/")[-2:])
        try:
            source = patches.read_rule(directory, name)
        except TriageError as error:
            if unread is None:
                raise
            unread.append(Unread(called, below, str(error)))
        else:
            yield NamedRule(called, below, source, directory.name, target_id)


def target_of(workspace: Workspace, text: str) -> str:
    """Return the target whose id begins with `text`."""
    found = [target for target in targets(workspace) if text and target.startswith(text)]
    exact = [target for target in found if target == text]
    if len(exact or found) != 1:
        raise TriageError(
            f"{len(found) or 'no'} targets with rules have an id that begins with {safe_line(text, 80)!r}"
        )
    return (exact or found)[0]


def generation(workspace: Workspace, target_id: str, number: int) -> Generation:
    """Return generation `number` of a target.

    Raises:
        TriageError: there is none of that number, or its manifest cannot be read.
    """
    place = directory_of(workspace, target_id)
    if number in changing.numbers(place) and number != generations.interrupted(place):
        return manifest.load(changing.directory_of(place, number))
    raise TriageError(f"target {safe_line(target_id, 80)} has no generation {number}")


def _in_generation(target_id: str, made: Generation) -> Iterable[NamedRule]:
    for file in sorted(made.files):
        yield NamedRule(
            f"{target_id}@{made.number}:{file}",
            file,
            manifest.read_file(made, file),
            target_id=target_id,
            for_all=target_id == SHARED,
        )
