"""A file of labelled failures: which program, how it is started, and what the right answer is.

The file is a YAML list with one mapping per case. It is input like any other: whoever writes it makes
mistakes. Each is told in one sentence with the case and the field, and costs that case and no other. The
format: docs/evaluation.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from triage_tui.diagnosis.knowledge import CAUSES
from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.text import safe_line

MAX_FILE_BYTES = 8 << 20
MAX_CASES = 5000
MAX_TIMEOUT_S = 600.0
PROGRAM_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,100}:[a-z0-9-]{2,20}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_USERS = {"root": 0, "nobody": 65534}

STEP_OPTIONS: dict[str, frozenset[str]] = {
    "mkdir": frozenset(("mode", "owner")),
    "file": frozenset(("text", "b64", "size", "mode", "owner")),
    "copy": frozenset(("from", "mode", "owner")),
    "symlink": frozenset(("to",)),
    "fifo": frozenset(("mode", "owner")),
    "device": frozenset(("type", "major", "minor", "mode", "owner")),
    "remove": frozenset(),
    "chmod": frozenset(("mode", "owner")),
}
"""What can be done to a root file system before the run, and what each step may say besides its path."""

Word = str | int | float

_DECIDING = (
    "arch", "packages", "argv", "prepare", "env", "cwd", "user", "stdin", "qemu_args", "network", "timeout",
)  # fmt: skip
"""Fields that decide how a run goes."""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One labelled failure. What the evaluation does not use (how it was verified) is let through."""

    id: str
    arch: str
    cause: str
    packages: list[str]
    argv: list[Word]
    qemu: str = ""
    title: str = ""
    proximate: str = ""
    accept: list[str] = []
    healthy: bool = False
    fixable: bool = False
    remedy: str = ""
    verified: bool = False
    prepare: list[dict[str, Any]] = []
    env: dict[str, Word] = {}
    cwd: str = "/"
    user: Word = "root"
    stdin: str | dict[str, str] = "null"
    qemu_args: list[Word] = []
    network: list[str] = msgspec.field(default_factory=lambda: ["lo"])
    timeout: float = 6.0
    trace: str = "file"
    why: str = ""
    note: str = ""
    expect: Any = None
    evidence: Any = None
    fix: Any = None
    success: Any = None

    @property
    def right(self) -> frozenset[str]:
        """The causes that count as a right answer."""
        return frozenset((self.cause, *self.accept))

    @property
    def words(self) -> list[str]:
        """The command line: the program as the guest sees it, and its arguments."""
        return [str(word) for word in self.argv]

    @property
    def uid(self) -> int:
        """The user that the program is started as."""
        return _USERS[self.user] if self.user in _USERS else int(self.user)

    @property
    def input(self) -> bytes | None:
        """What stands on its standard input, None where that is no text."""
        if not isinstance(self.stdin, dict):
            return None
        return bytes.fromhex(self.stdin["hex"]) if "hex" in self.stdin else self.stdin["text"].encode()

    def key(self, *extra: str) -> str:
        """Return a short hash of all that decides how the run goes: the labels do not."""
        told = json.dumps([[getattr(self, name) for name in _DECIDING], extra], sort_keys=True, default=str)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:12]


class Corpus(msgspec.Struct, frozen=True):
    """Labelled cases, in the order of their files."""

    cases: list[Case] = msgspec.field(default_factory=list)
    mistakes: dict[str, str] = msgspec.field(default_factory=dict)
    """Id of a case that is not well formed -> what is wrong with it. It stands in `cases` with its id and its
    label alone, since it counts, and cannot be run."""
    left_out: list[str] = msgspec.field(default_factory=list)
    """Sentences about fields that nobody knows; their cases are run without them."""


_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_corpus(*paths: Path) -> Corpus:
    """Read files of labelled failures as one.

    Raises:
        TriageError: a file cannot be read, is no YAML or no list of cases.
    """
    corpus = Corpus()
    names: set[str] = set()
    for path in paths:
        where = safe_line(str(path), 200)
        for number, entry in enumerate(_entries(path, where), start=1):
            _take(corpus, names, entry, number, where)
    return corpus


def chosen(cases: list[Case], wanted: Iterable[str]) -> list[Case]:
    """Return the cases that `wanted` names, all when it names none.

    Raises:
        TriageError: there is no such case.
    """
    names = list(dict.fromkeys(wanted))
    known = {case.id: case for case in cases}
    for name in names:
        if name not in known:
            raise TriageError(f"there is no case {safe_line(name, 60)!r} in this file")
    return [known[name] for name in names] if names else cases


def _entries(path: Path, where: str) -> list[Any]:
    """Return the list that a file holds.

    Raises:
        TriageError: it holds none, or too long a one.
    """
    try:
        found = yaml.load(read_bounded(path, MAX_FILE_BYTES, whole=True), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = safe_line(" ".join(str(error).split()), 200)
        raise TriageError(f"{where} is no usable YAML: {reason}") from error
    if not isinstance(found, list) or not found:
        raise TriageError(f"{where} must hold a list of cases, each a mapping with id, arch, cause and so on")
    if len(found) > MAX_CASES:
        raise TriageError(f"{where} has {len(found)} cases: at most {MAX_CASES} can be evaluated at once")
    return found


def _take(corpus: Corpus, names: set[str], entry: object, number: int, where: str) -> None:
    """Add what one entry of a file says to `corpus`, a case or the mistake in it, and its id to `names`."""
    fields = entry if isinstance(entry, Mapping) else {}
    name = fields.get("id")
    called = f"case {safe_line(name, 80)}" if isinstance(name, str) and name else f"case number {number}"
    unknown = [word for word in fields if word not in Case.__struct_fields__]
    if unknown:
        words = ", ".join(repr(safe_line(str(word), 40)) for word in unknown[:8])
        corpus.left_out.append(f"{where}, {called}: nobody knows the field {words}, so it was left out")
    try:
        if not isinstance(entry, Mapping):
            raise TriageError("a case is a mapping of fields")
        case = _case({word: value for word, value in fields.items() if word not in unknown})
        if case.id in names:
            raise TriageError(f"there are two cases with the name {case.id}, and this is the second")
    except TriageError as error:
        wanted = name if isinstance(name, str) and _ID.fullmatch(name) else f"number-{number}"
        free = next(one for one in chain((wanted,), (f"{wanted}-{n}" for n in count(2))) if one not in names)
        cause = fields.get("cause")
        label = safe_line(cause, 40) if isinstance(cause, str) and cause else "unknown"
        case = Case(
            id=free, arch="", cause=label, packages=[], argv=[], healthy=fields.get("healthy") is True
        )
        corpus.mistakes[free] = f"{where}, {called}: {error}"
    names.add(case.id)
    corpus.cases.append(case)


def _case(fields: Mapping[object, object]) -> Case:
    """Return the case that `fields` describe.

    Raises:
        TriageError: the first thing that is wrong with it, without the name of the case.
    """
    try:
        case = msgspec.convert(fields, Case)
    except (msgspec.ValidationError, RecursionError) as error:
        raise TriageError(safe_line(_in_words(str(error)), 200)) from error
    problem = _problem(case)
    if problem:
        raise TriageError(safe_line(problem, 900))
    return case


def _in_words(message: str) -> str:
    """Return msgspec's message with the place in front: "packages[2] needs `str`, got `int`"."""
    text, at, place = message.partition(" - at `$.")
    text = text[:1].lower() + text[1:]
    return f"{place.rstrip('`')}: {text}" if at else text


def _problem(case: Case) -> str:
    """Return what is wrong with a case whose types are right, "" for nothing."""
    if not _ID.fullmatch(case.id):
        return "the id may hold letters, digits and ._+- only, 80 at most"
    for cause in (case.cause, *case.accept, *([case.proximate] if case.proximate else [])):
        if cause not in CAUSES:
            return f"{cause!r} is no cause; known are {', '.join(sorted(CAUSES))}"
    for spec in case.packages:
        if not _PACKAGE.fullmatch(spec):
            return f"packages: {spec!r} is not NAME:ARCHITECTURE"
    if not case.packages:
        return "packages: needs at least one"
    if not case.argv or not case.words[0]:
        return "argv: needs the program at least"
    texts = [*case.words, case.cwd, *case.env, *map(str, case.env.values()), *map(str, case.qemu_args)]
    if any("\0" in text for text in texts):
        return "a NUL byte cannot be passed to a program"
    if not case.cwd.startswith("/"):
        return f"cwd: {case.cwd!r} is not absolute"
    if case.user not in _USERS and not (isinstance(case.user, int) and 0 <= case.user < 1 << 32):
        return f"user: {case.user!r} is neither root, nobody nor a number"
    if not 0 < case.timeout <= MAX_TIMEOUT_S:
        return f"timeout: {case.timeout:g} is not between 0 and {MAX_TIMEOUT_S:g} seconds"
    for name in case.network:
        if not _INTERFACE.fullmatch(name):
            return f"network: {name!r} is no name of an interface"
    return _problem_of_input(case.stdin) or next(filter(None, map(_problem_of_step, case.prepare)), "")


def _problem_of_input(stdin: str | dict[str, str]) -> str:
    if isinstance(stdin, str):
        return "" if stdin in ("null", "open", "closed") else f"stdin: {stdin!r} is not null, open or closed"
    if set(stdin) not in ({"text"}, {"hex"}):
        return "stdin: needs text or hex"
    try:
        bytes.fromhex(stdin.get("hex", ""))
    except ValueError:
        return "stdin: hex is not hexadecimal"
    return ""


def _problem_of_step(step: dict[str, Any]) -> str:
    action = next(iter(step), "")
    if action not in STEP_OPTIONS:
        return f"prepare: {action!r} is no step; known are {', '.join(STEP_OPTIONS)}"
    path = step[action]
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        return f"prepare: {action} needs an absolute path, not {path!r}"
    if ".." in path.split("/"):
        return f"prepare: {path!r} may not hold .."
    for option, value in step.items():
        if option == action:
            continue
        if option not in STEP_OPTIONS[action]:
            return f"prepare: {action} {path} does not take {option!r}"
        wanted = _OPTION_TYPES[option]
        if not isinstance(value, wanted) or isinstance(value, bool):
            return f"prepare: {action} {path}, {option}: {value!r} will not do"
    for option in {"copy": ["from"], "symlink": ["to"], "device": ["type", "major", "minor"]}.get(action, []):
        if option not in step:
            return f"prepare: {action} {path} needs {option}"
    if "mode" in step and not re.fullmatch(r"[0-7]{1,4}", str(step["mode"])):
        return f"prepare: {action} {path}, mode: {step['mode']!r} is not octal"
    if "owner" in step and not re.fullmatch(r"\d{1,9}(:\d{1,9})?", str(step["owner"])):
        return f"prepare: {action} {path}, owner: {step['owner']!r} is not UID or UID:GID"
    if "size" in step and not 0 <= cast("int", step["size"]) <= 1 << 32:
        return f"prepare: {action} {path}, size: {step['size']!r} is not between 0 and 4 GiB"
    return ""


_OPTION_TYPES: dict[str, type | tuple[type, ...]] = {
    "mode": (str, int),
    "owner": (str, int),
    "text": str,
    "b64": str,
    "size": int,
    "from": str,
    "to": str,
    "type": str,
    "major": int,
    "minor": int,
}
