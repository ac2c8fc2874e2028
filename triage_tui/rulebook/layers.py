"""Whose rules act for a target, and which hide which.

From the first to the last: a person's own files for the target, a person's own files for every target, the
active generation of the target, the active generation that is shared by all targets. Rules are asked in this
order, those of one layer for one syscall before plugins, and the first that answers a call wins. A rule hides
those behind it that have its file name, or its kind, call and id: these are not asked at all. A person's own
files are read and never written; see `places`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook import generations, manifest, rulefile
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.kinds import ENTRY_POINTS, KINDS, PLACE, kind_of
from triage_tui.rulebook.lua.constants import NotConstant
from triage_tui.rulebook.lua.lexer import pieces
from triage_tui.rulebook.manifest import verify
from triage_tui.rulebook.places import OWN, own_directories, shared_directory, target_directory
from triage_tui.rulebook.start_settings import read_start_rule
from triage_tui.rulehost.check import check_syntax
from triage_tui.rulehost.sources import RuleSource
from triage_tui.runs.events import default_actor
from triage_tui.runs.files import inside, read_bounded
from triage_tui.text import number_of, safe_line

Layer = Literal["own", "target", "shared"]

MAX_OWN_FILES = 1024
"""Own files of one directory."""


class LayeredRule(msgspec.Struct, frozen=True):
    """One rule file of a layer.

    `name` is its path in the layer ("syscall/openat@x.lua"), `rule` the id of its header, `generation` the
    number of its generation, 0 for a person's own file. `hidden_by` is the place of the rule that hides it.
    `problem` says why an own file is no rule: such a file neither acts nor hides.
    """

    layer: Layer
    name: str
    source: bytes
    rule: str
    directory: Path
    generation: int = 0
    for_all: bool = False
    """An own file for every target."""
    hidden_by: str = ""
    problem: str = ""

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def place(self) -> str:
        """Where it is, for people."""
        if self.layer == "own":
            within = "" if self.for_all else f"{self.directory.name}/"
            return f"{OWN}/{within}{self.name}"
        of = "shared generation" if self.layer == "shared" else "generation"
        return f"{self.name} of {of} {self.generation}"

    @property
    def known_as(self) -> str:
        """The id of its header; its name where it has none, since an id made from bytes says nothing."""
        return self.rule if self.rule and not self.rule.startswith("plain-") else self.name

    @property
    def keys(self) -> set[tuple[str, ...]]:
        """What it hides others by."""
        found = PLACE.fullmatch(self.name)
        call = found["syscall"] if found else ""
        return {(self.name,), (kind_of(self.name), call, self.rule)}


def layered(rulebook: Path, target_id: str) -> list[LayeredRule]:
    """Return every rule of a target's layers, in the order of precedence, those that are hidden included.

    Raises:
        TriageError: a generation was changed after it was made, or the own files cannot be read.
    """
    found = list(_own(rulebook, target_id))
    places: tuple[tuple[Layer, Path], ...] = (
        ("target", target_directory(rulebook, target_id)),
        ("shared", shared_directory(rulebook)),
    )
    for layer, directory in places:
        active = generations.current(directory)
        if active is not None:
            found += rules_of(layer, active)
    return list(_hidden(found))


def in_force(rulebook: Path, target_id: str) -> list[LayeredRule]:
    """Return the rules that act for a target, in the order in which they are asked; see `layered`."""
    return acting(layered(rulebook, target_id))


def acting(rules: Iterable[LayeredRule]) -> list[LayeredRule]:
    """Return those that are neither hidden nor broken."""
    return [rule for rule in rules if not rule.hidden_by and not rule.problem]


def asked(rules: Iterable[LayeredRule]) -> list[LayeredRule]:
    """Return those that the rule host asks: settings of the start are none of them."""
    return [rule for rule in rules if kind_of(rule.name) != "start"]


def to_sources(rules: Iterable[LayeredRule]) -> list[RuleSource]:
    """Return what the rule host asks of these, in their order.

    Raises:
        TriageError: one is no rule.
    """
    return [
        replace(rulefile.to_source(rule.name, rule.source, str(rule.directory)), layer=rule.layer)
        for rule in asked(rules)
    ]


def refuse_hidden(rulebook: Path, target_id: str, additions: dict[str, bytes]) -> None:
    """Refuse to make rules active that a person's own file would hide.

    Raises:
        Conflict: names the own file.
        TriageError: the own files cannot be read.
    """
    own = acting(_own(rulebook, target_id))
    for name, source in additions.items():
        new = LayeredRule("target", name, source, rulefile.parse(source).header.id, Path())
        for one in own:
            if one.keys & new.keys and one.source != source:
                raise Conflict(
                    f"your own file {safe_line(one.place, 200)} hides {safe_line(name, 100)}, so nothing was"
                    " made active: rename or remove it first"
                )


def note_own(rulebook: Path, target_id: str, rules: Iterable[LayeredRule]) -> bool:
    """Write into the audit log which own files act for a target; False where it says so already.

    Raises:
        TriageError: the log cannot be read or written.
    """
    now = {rule.place: rule.sha256 for rule in rules if rule.layer == "own"}
    target = target_directory(rulebook, target_id).name
    last = audit_log.latest(rulebook, "own_files", target)
    if now == (last.rules if last is not None else {}):
        return False
    says = "no file of a person acts" if not now else f"{number_of(len(now), 'file')} of a person's own"
    entry = audit_log.Entry(kind="own_files", actor=default_actor(), says=says, target=target, rules=now)
    audit_log.append(rulebook, entry)
    return True


def _own(rulebook: Path, target_id: str) -> list[LayeredRule]:
    """Return a person's own files; a text that does not compile, or defines nothing, is no rule either."""
    found = list(_own_files(rulebook, target_id))
    compiled = [rule for rule in found if not rule.problem and kind_of(rule.name) == "syscall"]
    problems = check_syntax([(rule.name, rule.source) for rule in compiled]) if compiled else []
    told = {
        rule.place: text if text is not None else _without_entry(rule.source)
        for rule, text in zip(compiled, problems, strict=True)
    }
    return [replace(rule, problem=told.get(rule.place, rule.problem)) for rule in found]


def _without_entry(source: bytes) -> str:
    """Return that a rule which compiles says nothing of what it has to define, "" where it may define it."""
    words = b"\n".join(piece.raw for piece in pieces(source) if piece.kind in ("name", "string"))
    if any(name.encode() in words for name in ENTRY_POINTS):
        return ""
    return f"it defines neither {' nor '.join(ENTRY_POINTS)}"


def _own_files(rulebook: Path, target_id: str) -> Iterator[LayeredRule]:
    for directory in own_directories(rulebook, target_id):
        for_all = directory.name == OWN and directory.parent == rulebook
        for kind in KINDS:
            try:
                place = inside(rulebook, str((directory / kind).relative_to(rulebook)))
                names = sorted(name for name in os.listdir(place) if name.endswith(".lua"))
            except FileNotFoundError:
                continue
            except OSError as error:
                shown = safe_line(str(directory / kind))
                raise TriageError(f"{shown} cannot be read: {error.strerror or error}") from error
            if len(names) > MAX_OWN_FILES:
                raise TriageError(
                    f"{safe_line(str(place))} holds more than {MAX_OWN_FILES} rules: move some of them away"
                )
            yield from (_own_file(directory, f"{kind}/{name}", for_all) for name in names)


def _own_file(directory: Path, name: str, for_all: bool) -> LayeredRule:
    source, rule, problem = b"", "", ""
    try:
        source = read_bounded(directory / name, rulefile.MAX_RULE_BYTES, whole=True)
        if not PLACE.fullmatch(name):
            raise TriageError("it is not named like a rule (NAME.lua or NAME@ID.lua)")
        rule = rulefile.parse(source).header.id
        match kind_of(name):
            case "plugin":
                rulefile.to_source(name, source)
            case "start":
                read_start_rule(name, source)
            case "syscall":
                pass
    except NotConstant as error:
        problem = f"line {error.line}: {error}"
    except TriageError as error:
        problem = str(error)
    return LayeredRule("own", name, source, rule, directory, for_all=for_all, problem=problem)


def rules_of(layer: Layer, active: Generation) -> Iterator[LayeredRule]:
    """Yield the rules of a generation in the order in which they are asked.

    Raises:
        TriageError: it was changed after it was made, so none of it is run.
    """
    if problems := verify(active):
        raise TriageError(f"the active rules were not loaded: {problems[0]}")
    # A rule for one syscall is the more special one: plugins are asked what is left.
    for name in sorted(active.files, key=lambda name: (KINDS.index(kind_of(name)), name)):
        source = manifest.read_file(active, name)
        rule = rulefile.parse(source).header.id
        yield LayeredRule(layer, name, source, rule, active.directory, active.number)


def _hidden(rules: Sequence[LayeredRule]) -> Iterator[LayeredRule]:
    """Say of each rule which one before it hides it. Rules of one layer do not hide each other."""
    known: dict[tuple[str, ...], LayeredRule] = {}
    for rule in rules:
        before = [known[key] for key in sorted(rule.keys) if key in known]
        hiding = next((one for one in before if _rank(one) < _rank(rule)), None)
        if hiding is not None and not rule.problem:
            yield replace(rule, hidden_by=hiding.place)
            continue
        yield rule
        if not rule.problem:
            for key in rule.keys:
                known.setdefault(key, rule)


def _rank(rule: LayeredRule) -> int:
    return 1 if rule.for_all else {"own": 0, "target": 2, "shared": 3}[rule.layer]
