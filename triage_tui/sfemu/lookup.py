"""Which rule files SFEmu finds for each syscall, whose they are, and which of them it asks.

The first file wins, and a file that we published asks the next one. So an override that is left over from a
run long gone goes on hiding the baseline, also one that is newer than it: that is told here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import generations
from triage_tui.runs.files import read_bounded
from triage_tui.runs.ids import is_run_id
from triage_tui.sfemu import published_files, publishing, rules_dir
from triage_tui.sfemu.checks import is_published
from triage_tui.sfemu.rule_text import MARK, WORLD
from triage_tui.sfemu.rules_dir import BASELINE, RulesDirectory
from triage_tui.text import number_of, safe_line

Whose = Literal["ours", "changed", "person", "model", "baseline", "override", "outside"]
"""Whose a file is. "changed" is one of ours that was changed by hand since, "override" one in a directory
that only the settings name, "outside" one that lies outside of the rule directory."""

IN_WORDS: dict[Whose, str] = {
    "ours": "published",
    "changed": "published, changed by hand",
    "person": "of a person",
    "model": "of SFEmu's model",
    "baseline": "baseline",
    "override": "override",
    "outside": "outside of the rule directory",
}
_BY_DIRECTORY: dict[str, Whose] = {
    "syscall_override_user": "person",
    "syscall_override": "model",
    BASELINE: "baseline",
}
_FILE = re.compile(r"([a-z_][a-z0-9_]{0,47})\.lua\Z")
_RULE_LINE = re.compile(rb"^-- rule: (\S{1,80}) sha256 ([0-9a-f]{64})$", re.MULTILINE)
MAX_NAMES = 4096
"""Files of one directory, and runs, that are looked at."""
MAX_BYTES = 1 << 20


class RuleFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that SFEmu would find for a syscall.

    `path` is below the rule directory, or absolute; `asked` says whether it is asked at all, `hidden_by` is
    the file on account of which it is not. `rules` are the ids of ours that are in it; `runs` are the runs of
    SFEmu that propose exactly this text, `stable` those whose stable set has it, both of a model's only.
    """

    call: str
    path: str
    whose: Whose
    asked: bool
    hidden_by: str = ""
    rules: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    stable: tuple[str, ...] = ()

    @property
    def left_over(self) -> bool:
        """Whether it is a model's and no run that is still here proposes it."""
        return self.whose == "model" and not self.runs


def rule_files(rules: RulesDirectory) -> list[RuleFile]:
    """Return the files that SFEmu would find, by syscall, each in the order in which SFEmu looks.

    Raises:
        TriageError: what of them is ours cannot be told.
    """
    state = published_files.read_state(rules)
    by_call: dict[str, list[Path]] = {}
    for directory in rules.lookup_dirs:
        for name in _names(directory):
            by_call.setdefault(name.removesuffix(".lua"), []).append(directory / name)
    known = _Proposed(rules)
    return [one for call in sorted(by_call) for one in _of_call(rules, state, known, call, by_call[call])]


def _of_call(
    rules: RulesDirectory, state: published_files.Published, known: _Proposed, call: str, paths: list[Path]
) -> Iterator[RuleFile]:
    last, goes_on = "", True
    asked: set[bytes] = set()
    for path in paths:
        inside = path.is_relative_to(rules.root)
        name = str(path.relative_to(rules.root) if inside else path)
        data = b""
        with contextlib.suppress(TriageError):
            data = read_bounded(path, published_files.MAX_FILE_BYTES, whole=True)
        whose = _whose(state, name, data) if inside else "outside"
        model = whose == "model"
        found = _RULE_LINE.findall(data[:65536]) if WORLD in data else []
        yield RuleFile(
            call=call,
            path=name,
            whose=whose,
            asked=goes_on,
            hidden_by="" if goes_on else last,
            rules=tuple(identity.decode("ascii", "replace") for identity, _ in found),
            runs=known.runs_with(path.name, data) if model else (),
            stable=known.stable_with(path.name, data) if model else (),
        )
        if goes_on:
            # A text that is published is not asked again where it lies; what it hides there stays hidden.
            last, goes_on = name, bool(found) and published_files.digest(data).encode() not in asked
            asked.update(sha256 for _, sha256 in found)


def _whose(state: published_files.Published, name: str, data: bytes) -> Whose:
    if name in state.files or data.startswith(MARK):
        return "ours" if published_files.digest(data) in state.files.get(name, []) else "changed"
    return _BY_DIRECTORY.get(os.path.dirname(name), "override")


class _Proposed:
    """The rule texts that lie in SFEmu's runs and stable sets; read when they are asked for."""

    def __init__(self, rules: RulesDirectory) -> None:
        self._rules = rules

    def runs_with(self, name: str, data: bytes) -> tuple[str, ...]:
        """Return the runs that propose this text for this file name, oldest first."""
        places = ("fix/syscall", "observe/syscall", "syscall")
        below = [f"rules_patch/{place}/{name}" for place in places]
        return _with_text(self._rules.runs_dirs, below, data)

    def stable_with(self, name: str, data: bytes) -> tuple[str, ...]:
        """Return the runs whose stable set has this text."""
        below = [f"{place}/{name}" for place in ("syscall_override", "syscall")]
        return _with_text(self._rules.stable_dirs, below, data)


def _with_text(directories: Iterable[Path], below: list[str], data: bytes) -> tuple[str, ...]:
    found = []
    for directory in directories:
        try:
            names = sorted(name for name in os.listdir(directory) if is_run_id(name))[-MAX_NAMES:]
        except OSError:
            continue
        for name in names:
            if any(_has(directory / name / place, data) for place in below):
                found.append(name)
    return tuple(found)


def _has(path: Path, data: bytes) -> bool:
    try:
        if path.stat().st_size != len(data):
            return False
        return read_bounded(path, MAX_BYTES, whole=True) == data
    except (OSError, TriageError):
        return False


def _names(directory: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if _FILE.match(name))[:MAX_NAMES]
    except OSError:
        return []


class Looked(msgspec.Struct, frozen=True):
    """What SFEmu finds in a rule directory, and what is to be said of it, safe to show."""

    files: tuple[RuleFile, ...] = ()
    hides: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def looked_at(root: Path, target_id: str) -> Looked | None:
    """Return what SFEmu finds, None where the rules of a target of the workspace `root` are not published."""
    if not is_published(root, target_id):
        return None
    rules = rules_dir.around(root)
    assert rules is not None
    try:
        files = rule_files(rules)
        return Looked(tuple(files), tuple(what_hides(files)), tuple(what_is_wrong(rules, files)))
    except TriageError as error:
        return Looked(wrong=(str(error),))


# In words


def what_hides(files: list[RuleFile]) -> list[str]:
    """Return which overrides that are not ours keep other files from being asked, a sentence each."""
    told = []
    for one in files:
        hidden = [other.path for other in files if other.call == one.call and other.hidden_by == one.path]
        if hidden and one.whose not in ("ours", "changed"):
            told.append(safe_line(f"{one.path} ({origin_of(one)}) hides {' and '.join(hidden)}", 400))
    return told


def origin_of(one: RuleFile) -> str:
    """Return whose a file is, and from where, in words."""
    whose = IN_WORDS[one.whose]
    if one.whose != "model":
        return whose
    told = f"{whose}, run {one.runs[-1]}" if one.runs else f"{whose}, left over: no run here has it"
    if one.stable:
        told += f", exported as stable by run {one.stable[-1]}"
    return told


def what_is_wrong(rules: RulesDirectory, files: list[RuleFile]) -> list[str]:
    """Return in what that which SFEmu loads does not follow the active rules, a sentence each."""
    told = [
        f"{one.path} was changed by hand since it was published: it is not replaced and not taken away"
        for one in files
        if one.whose == "changed"
    ]
    told += [
        f"{one.path} is published, and not asked: {one.hidden_by} hides it"
        for one in files
        if one.whose == "ours" and not one.asked
    ]
    try:
        active = generations.current(publishing.target_dir_of(rules))
        wanted = publishing.wanted(rules, active)
    except TriageError as error:
        return [*told, f"the active rules cannot be published: {error}"]
    there = {one.path: one.whose for one in files}
    missing = [name for name in wanted if there.get(name) not in ("ours", "changed")]
    old = [one.path for one in files if one.whose == "ours" and one.path not in wanted]
    if missing:
        more = f" and {number_of(len(missing) - 1, 'more file')}" if len(missing) > 1 else ""
        told.append(
            f"not there, although rules for it are active: {missing[0]}{more}:"
            " `triage-tui rules publish` says why, or writes it"
        )
    told += [
        f"{name} is published although no active rule is for it: `triage-tui rules publish`" for name in old
    ]
    return [safe_line(one, 400) for one in told]
