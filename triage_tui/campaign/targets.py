"""Reading a target file: programs of root file systems, and roots in which services are looked for.

All mistakes of a file are found in one reading, each with its line and column.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import posixpath
from collections.abc import Collection
from pathlib import Path

import msgspec
import yaml

from triage_tui.campaign.discovery.programs import Programs, RunnableProgram
from triage_tui.campaign.discovery.root_view import RootView
from triage_tui.campaign.model import Target
from triage_tui.campaign.target_file import (
    MAX_TARGETS,
    MAX_TIME_LIMIT_S,
    MAX_USER,
    MAX_WORDS,
    Defaults,
    RootEntry,
    TargetEntry,
    TargetFileForm,
)
from triage_tui.campaign.yaml_nodes import Mistakes, parse
from triage_tui.errors import TriageError
from triage_tui.guest.spec import DEFAULT_ENVIRONMENT
from triage_tui.retry.probe import parse_question
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, real_path
from triage_tui.text import safe_line

MAX_FILE_BYTES = 64 << 20
_NULL, _TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"
_SAID = ("group", "cwd", "user", "stdin", "interfaces", "qemu_args", "probes", "time_limit_s")
"""What a target is given as the file says it."""
_WORD_KEYS = frozenset(("argv", "args", "interfaces", "qemu_args", "probes", "only", "without"))


class SearchedRoot(msgspec.Struct, kw_only=True):
    """A root of a target file in which services are looked for."""

    root: Path
    group: str = ""
    only: list[str] = []
    without: list[str] = []
    defaults: Target
    """What holds for each target of it; its root and program say nothing."""
    origin: str = ""


class TargetFile(msgspec.Struct, kw_only=True):
    """What a target file asks for."""

    targets: list[Target] = []
    """Without hashes of roots and ids."""
    roots: list[SearchedRoot] = []


def target_id(target: Target) -> str:
    """Return the id of a target: 16 hexadecimal digits of a hash of all that decides how it runs."""
    decides = (
        target.root_hash,
        target.program,
        target.argv,
        sorted(target.env.items()),
        target.cwd,
        target.user,
        target.stdin,
        target.interfaces,
        target.qemu_args,
        target.probes,
    )
    return hashlib.sha256(encode_line(decides)).hexdigest()[:16]


def read_targets(path: Path) -> TargetFile:
    """Read a target file.

    Raises:
        BadFileError: it has mistakes; all are found, the first are named with line and column.
        TriageError: it cannot be read.
    """
    raw = read_bounded(real_path(path), MAX_FILE_BYTES, whole=True)
    reader = _Reader(path)
    found = reader.file(parse(str(path), raw))
    reader.mistakes.check()
    return found


_NEEDED = {
    "schema": "`schema: 1` at its begin",
    "root": "the directory of an unpacked root file system",
    "program": "its path in the root file system",
}
"""Key that cannot be left out -> what to write."""


class _Reader:
    def __init__(self, path: Path) -> None:
        self.mistakes = Mistakes(str(path))
        self._name = safe_line(path.name, 100)
        self._directory = real_path(path).parent
        self._programs: dict[str, Programs | None] = {}

    def file(self, node: yaml.Node) -> TargetFile:
        keys = self._mapping(node, "", TargetFileForm.__struct_fields__, ("schema",))
        if (version := keys.get("schema")) is not None and getattr(version, "value", "") != "1":
            self.mistakes.add(version, "schema", "must be 1: begin the file with `schema: 1`")
        given = self._values(keys["defaults"], "defaults", Defaults) if "defaults" in keys else {}
        defaults = self._target(given, {}, "", "")
        found = TargetFile(targets=[], roots=[])
        for index, entry in enumerate(self._list(keys.get("roots"), "roots", MAX_TARGETS)):
            self._root(entry, f"roots[{index}]", defaults, found)
        for index, entry in enumerate(self._list(keys.get("targets"), "targets", MAX_TARGETS)):
            self._entry(entry, f"targets[{index}]", given, found)
        if isinstance(node, yaml.MappingNode) and not {"roots", "targets"} & set(keys):
            self.mistakes.add(node, "", "it names neither `targets` nor `roots`: give one of them")
        return found

    def _root(self, node: yaml.Node, key: str, defaults: Target, found: TargetFile) -> None:
        origin = f"{self._name} line {node.start_mark.line + 1}"
        if isinstance(node, yaml.ScalarNode):
            values: dict[str, object] = {}
            root = self._directory_of(node, key)
        else:
            values = self._values(node, key, RootEntry, ("root",))
            root = str(values.get("root", ""))
        if root:
            group = str(values.get("group") or defaults.group or os.path.basename(root))
            only, without = _words(values, "only"), _words(values, "without")
            found.roots.append(
                SearchedRoot(
                    root=Path(root), group=group, only=only, without=without, defaults=defaults, origin=origin
                )
            )

    def _entry(self, node: yaml.Node, key: str, defaults: dict[str, object], found: TargetFile) -> None:
        before = self.mistakes.count
        values = self._values(node, key, TargetEntry, ("root", "program"))
        if values.get("argv") and values.get("args"):
            self.mistakes.add(
                node, key, "give either `argv`, the whole of it, or `args`, what follows the name"
            )
        if self.mistakes.count != before:
            return
        root, program = str(values["root"]), posixpath.normpath(str(values["program"]))
        argv = _words(values, "argv") or [program, *_words(values, "args")]
        runnable = self._runnable(root, program, argv)
        if not isinstance(runnable, RunnableProgram):
            self.mistakes.add(node, key, runnable)
            return
        origin = f"{self._name} line {node.start_mark.line + 1}"
        target = self._target({**defaults, **values}, defaults, root, origin)
        target.program, target.argv, target.arch = runnable.program, runnable.argv, runnable.arch
        target.name = str(values.get("name") or runnable.name)
        target.group = target.group or os.path.basename(root)
        target.order = len(found.targets) + 1
        found.targets.append(target)

    def _target(
        self, values: dict[str, object], defaults: dict[str, object], root: str, origin: str
    ) -> Target:
        said = {name: values[name] for name in _SAID if name in values}
        said["env"] = {**DEFAULT_ENVIRONMENT, **_texts(defaults), **_texts(values)}
        return msgspec.convert(
            {"target": "", "name": "", "root": root, "program": "", "origin": origin} | said, Target
        )

    def _runnable(self, root: str, program: str, argv: list[str]) -> RunnableProgram | str:
        if root not in self._programs:
            self._programs[root] = Programs(RootView(Path(root), steps=0))
        programs = self._programs[root]
        assert programs is not None
        return programs.runnable(program, argv)

    def _mapping(
        self, node: yaml.Node, key: str, known: Collection[str], needed: Collection[str] = ()
    ) -> dict[str, yaml.Node]:
        """Return the values of a mapping by key; what is unknown, given twice or lacking is a mistake."""
        if not isinstance(node, yaml.MappingNode):
            self.mistakes.add(node, key, f"must be a mapping with {_listed(known)}, and is {_kind(node)}")
            return {}
        found: dict[str, yaml.Node] = {}
        for name_node, value in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else ""
            inner = f"{key}.{name}" if key else str(name)
            if name in found:
                self.mistakes.add(name_node, inner, "is given twice: keep one of them")
            elif known and name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {_listed(known)}"
                self.mistakes.add(name_node, inner, f"is no key that is known here: {hint}")
            else:
                found[str(name)] = value
        for name in needed:
            if name not in found:
                self.mistakes.add(node, key, f"lacks the key `{name}`: give {_NEEDED[name]}")
        return found

    def _list(self, node: yaml.Node | None, key: str, most: int) -> list[yaml.Node]:
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _NULL):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.mistakes.add(node, key, f"must be a list, and is {_kind(node)}")
            return []
        if len(node.value) > most:
            self.mistakes.add(node, key, f"has {len(node.value)} entries, and at most {most} are taken")
        return list(node.value[:most])

    def _values(
        self, node: yaml.Node, key: str, form: type[msgspec.Struct], needed: Collection[str] = ()
    ) -> dict[str, object]:
        """Return what the keys of an entry say, those alone that are right."""
        found: dict[str, object] = {}
        for name, value in self._mapping(node, key, form.__struct_fields__, needed).items():
            inner = f"{key}.{name}"
            if name in _WORD_KEYS:
                found[name] = self._word_list(value, inner, name)
            elif name == "env":
                found[name] = self._env(value, inner)
            elif name == "root":
                found[name] = self._directory_of(value, inner)
            elif name == "stdin":
                found[name] = self._stdin(value, inner)
            elif name in ("user", "time_limit_s"):
                if (number := self._number(value, inner, name)) is not None:
                    found[name] = number
            else:
                text = self._text(value, inner)
                if name in ("program", "cwd") and text and not text.startswith("/"):
                    self.mistakes.add(value, inner, "must be an absolute path inside the root")
                found[name] = text
        return found

    def _text(self, node: yaml.Node, key: str) -> str:
        """Return a value as it is written: `80` and `yes` are words here."""
        if not isinstance(node, yaml.ScalarNode):
            self.mistakes.add(node, key, f"must be a text, and is {_kind(node)}")
            return ""
        if node.tag == _NULL and not node.style:
            self.mistakes.add(node, key, "is empty: write a text, in quotes where it is to be empty")
            return ""
        text = str(node.value)
        if "\0" in text:
            self.mistakes.add(node, key, "holds a NUL byte, which no program can be given")
        return text

    def _word_list(self, node: yaml.Node, key: str, name: str) -> list[str]:
        words = [
            self._text(one, f"{key}[{index}]") for index, one in enumerate(self._list(node, key, MAX_WORDS))
        ]
        if name == "probes":
            for one, word in zip(getattr(node, "value", []), words, strict=False):
                if word.startswith("cmd:"):
                    # A target file may come from elsewhere.
                    self.mistakes.add(one, key, "a command of this machine is no probe that a file can name")
                    continue
                try:
                    parse_question(word)
                except TriageError as error:
                    self.mistakes.add(one, key, str(error))
        return words

    def _env(self, node: yaml.Node, key: str) -> dict[str, str]:
        found = {}
        for name, value in self._mapping(node, key, ()).items():
            if not name or "=" in name or "\0" in name or name.startswith("QEMU_"):
                self.mistakes.add(value, f"{key}.{name}", "is no name of a variable that a guest can have")
            found[name] = self._text(value, f"{key}.{name}")
        return found

    def _directory_of(self, node: yaml.Node, key: str) -> str:
        text = self._text(node, key)
        if not text or "\0" in text:
            return ""
        path = os.path.normpath(self._directory / os.path.expanduser(text))
        if not os.path.isdir(path):
            self.mistakes.add(node, key, f"there is no directory {path}: name an unpacked root file system")
            return ""
        return path

    def _stdin(self, node: yaml.Node, key: str) -> str:
        if isinstance(node, yaml.ScalarNode) and node.tag == _NULL:
            return "null"
        text = self._text(node, key)
        if text in ("", "null", "open") or "\0" in text:
            return text or "null"
        path = os.path.normpath(self._directory / os.path.expanduser(text))
        if not os.path.isfile(path):
            self.mistakes.add(
                node, key, f"there is no file {path}: say null, open, or a file of this machine"
            )
        return path

    def _number(self, node: yaml.Node, key: str, name: str) -> float | int | None:
        text = self._text(node, key)
        try:
            number: float = int(text) if name == "user" else float(text)
        except ValueError:
            number = -1
        if name == "user" and not 0 <= number <= MAX_USER:
            self.mistakes.add(node, key, f"must be a user id from 0 to {MAX_USER}")
        elif name == "time_limit_s" and not 0 < number <= MAX_TIME_LIMIT_S:
            self.mistakes.add(node, key, f"must be seconds, more than 0 and at most {MAX_TIME_LIMIT_S:g}")
        else:
            return number
        return None


def _words(values: dict[str, object], name: str) -> list[str]:
    found = values.get(name, [])
    return [str(word) for word in found] if isinstance(found, list) else []


def _texts(values: dict[str, object]) -> dict[str, str]:
    found = values.get("env", {})
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


def _listed(known: Collection[str]) -> str:
    return ", ".join(known)


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "empty" if node.tag == _NULL else f"the text {str(node.value)[:40]!r}"
