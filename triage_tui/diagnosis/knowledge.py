"""The knowledge base: YAML files in which each entry says when a cause is likely and how to show it.

Files are read from the shipped `rules/` directory and from user directories; an entry or file of the same id
or name in a later directory replaces the earlier one. Loading is strict: one clear sentence per mistake, with
file, entry and key. The format is described in docs/knowledge-base.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from triage_tui.diagnosis.causality import Causality, Hint, Noise
from triage_tui.diagnosis.cite import PLACEHOLDER, check_placeholders
from triage_tui.diagnosis.conditions import (
    BadConditionError,
    Condition,
    Leaf,
    compile_regex,
    parse_condition,
    parse_leaf,
)
from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.runs.files import read_bounded

MAX_FILE_BYTES = 1 << 20
CAUSALITY_FILE = "causality.yaml"

_CAUSE_NAMES = """
missing_file missing_dir readonly_fs missing_device device_ioctl nvram_key mtd_flash missing_interface
bind_address ifindex_procnet netlink missing_peer arguments cwd_webroot missing_library helper_exec permission
unsupported_syscall sleep_loop network_wait spin_or_lock crash_signal watchdog_reboot time_rtc fd_hygiene
resource_limit emulator_failure rule_abi normal_exit config_error unknown
"""
CAUSES = frozenset(_CAUSE_NAMES.split())
"""The causes that an entry may name."""

_ENTRY_KEYS = {
    "id", "version", "status", "cause", "proximate", "healthy", "title", "subject", "when", "confidence",
    "adjust", "explanation", "wanted", "proposals", "references",
}  # fmt: skip
_REQUIRED = ("id", "version", "cause", "title", "subject", "confidence", "explanation")
STATUSES = ("stable", "experimental", "disabled")


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A change of confidence when a condition holds; a negative one is contrary evidence."""

    when: Condition
    add: float
    says: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One way to recognise one cause."""

    id: str
    version: int
    status: str
    cause: str
    proximate: str
    healthy: bool
    title: str
    subject: Leaf
    when: Condition | None
    base: float
    per_relevance: float
    ceiling: float
    adjust: tuple[Adjustment, ...]
    explanation: tuple[str, ...]
    wanted: tuple[str, ...]
    proposals: tuple[str, ...]
    references: tuple[str, ...]
    file: str


@dataclass(slots=True)
class KnowledgeBase:
    """All entries, and what is known about failures in general."""

    entries: list[Entry] = field(default_factory=list)
    causality: Causality = field(default_factory=Causality)
    sha256: str = ""
    """Over the files in the order read: two runs with the same value were judged alike."""
    overridden: list[str] = field(default_factory=list)
    """One sentence for each shipped file or entry that a user's directory replaced."""


_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C is ten times as fast, where PyYAML was built with it."""


class _Loader(_Base):  # type: ignore[misc,valid-type]
    """YAML without implicit typing surprises: duplicate keys are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping, refusing a key given twice."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int) and key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"line {line}: the key {key!r} is given twice"
                )
            seen.add(key)
        return cast("dict[Any, Any]", super().construct_mapping(node, deep=deep))


def load_knowledge(directories: Iterable[Path] | None = None) -> KnowledgeBase:
    """Load the shipped knowledge base and then `directories`, later ones overriding.

    Raises:
        TriageError: the first mistake found, with file, entry and key.
    """
    base = KnowledgeBase()
    entries: dict[str, Entry] = {}
    digest = hashlib.sha256()
    for position, directory in enumerate([shipped("rules"), *(directories or ())]):
        if not directory.is_dir():
            raise TriageError(f"the knowledge base directory {directory} does not exist")
        for path in sorted(directory.glob("*.yaml")):
            raw = read_bounded(path, MAX_FILE_BYTES, whole=True)
            digest.update(path.name.encode() + b"\0" + raw + b"\0")
            document = read_document(path, raw)
            if path.name == CAUSALITY_FILE:
                base.causality = parse_causality(document, path)
                if position:
                    base.overridden.append(f"{path} replaces the shipped {CAUSALITY_FILE}")
                continue
            for entry in parse_entries(document, path):
                if entry.id in entries:
                    earlier = entries[entry.id].file
                    if Path(earlier).parent == directory:
                        raise TriageError(f"{path}, entry {entry.id}: the same id is used in {earlier}")
                    base.overridden.append(f"{path} replaces entry {entry.id} of {earlier}")
                entries[entry.id] = entry
    base.entries = [entry for entry in entries.values() if entry.status != "disabled"]
    base.sha256 = digest.hexdigest()
    return base


def read_document(path: Path, raw: bytes) -> Mapping[str, Any]:
    """Parse one YAML file into its top-level mapping.

    Raises:
        TriageError: it is no YAML, no mapping, or of another schema version.
    """
    try:
        document = yaml.load(raw, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())[:200]
        raise TriageError(f"{path} is no usable YAML: {text}") from error
    if not isinstance(document, dict):
        raise TriageError(f"{path}: the file must hold a mapping with the key schema")
    if document.get("schema") != 1:
        raise TriageError(f"{path}, key schema: must be 1, not {document.get('schema')!r}")
    return cast("Mapping[str, Any]", document)


def parse_entries(document: Mapping[str, Any], path: Path) -> list[Entry]:
    """Build the entries of one file.

    Raises:
        TriageError: the first mistake.
    """
    extra = set(document) - {"schema", "entries"}
    if extra:
        raise TriageError(f"{path}, key {min(map(str, extra))}: unknown; a file holds schema and entries")
    raw = document.get("entries")
    if not isinstance(raw, list) or not raw:
        raise TriageError(f"{path}, key entries: needs a list of entries")
    result = []
    for index, item in enumerate(raw):
        name = (
            item.get("id")
            if isinstance(item, dict) and isinstance(item.get("id"), str)
            else f"number {index + 1}"
        )
        try:
            result.append(_entry(item, str(path)))
        except BadConditionError as error:
            raise TriageError(f"{path}, entry {name}, key {error.where}: {error.what}") from error
    return result


def _need(condition: bool, where: str, what: str) -> None:
    if not condition:
        raise BadConditionError(where, what)


def _entry(raw: object, file: str) -> Entry:
    if not isinstance(raw, dict):
        raise BadConditionError("-", "an entry is a mapping")
    for key in raw:
        _need(key in _ENTRY_KEYS, str(key), f"unknown; known are {', '.join(sorted(_ENTRY_KEYS))}")
    for key in _REQUIRED:
        _need(key in raw, key, "missing")
    _need(
        re.fullmatch(r"[a-z0-9][a-z0-9-]*", str(raw["id"])) is not None,
        "id",
        "needs lower-case words with hyphens",
    )
    _need(type(raw["version"]) is int, "version", "needs a whole number")
    status = raw.get("status", "stable")
    _need(status in STATUSES, "status", f"needs one of {', '.join(STATUSES)}")
    _need(raw["cause"] in CAUSES, "cause", f"unknown cause {raw['cause']!r}")
    proximate = raw.get("proximate", "")
    _need(proximate == "" or proximate in CAUSES, "proximate", f"unknown cause {proximate!r}")
    _need(type(raw.get("healthy", False)) is bool, "healthy", "needs true or false")
    _need(isinstance(raw["title"], str), "title", "needs text")
    _need(isinstance(raw["subject"], dict), "subject", "needs a question about one kind of fact")
    subject = parse_leaf(raw["subject"], "subject")
    base, per_relevance, ceiling = _confidence(raw["confidence"])
    explanation = _texts(raw, "explanation")
    kinds = {"subject": subject.kind, "end": "end"} | _named(raw)
    for key, text in [
        ("title", raw["title"]),
        *((f"explanation[{i}]", t) for i, t in enumerate(explanation)),
    ]:
        problem = check_placeholders(text, kinds)
        _need(problem is None, key, problem or "")
    for index, sentence in enumerate(explanation):
        cites = any(match[2] == "cite" for match in PLACEHOLDER.finditer(sentence))
        _need(
            cites,
            f"explanation[{index}]",
            "this sentence cites nothing; put {subject.cite} or another in it",
        )
    return Entry(
        id=raw["id"],
        version=raw["version"],
        status=status,
        cause=raw["cause"],
        proximate=proximate,
        healthy=raw.get("healthy", False),
        title=raw["title"],
        subject=subject,
        when=parse_condition(raw["when"], "when") if "when" in raw else None,
        base=base,
        per_relevance=per_relevance,
        ceiling=ceiling,
        adjust=tuple(
            _adjustment(item, f"adjust[{index}]") for index, item in enumerate(raw.get("adjust", []))
        ),
        explanation=explanation,
        wanted=_texts(raw, "wanted"),
        proposals=_texts(raw, "proposals"),
        references=_texts(raw, "references"),
        file=file,
    )


def _named(raw: object) -> dict[str, str]:
    """Return the names given with `as` anywhere below `raw`, with the kind of fact each stands for."""
    if isinstance(raw, list):
        return {name: kind for item in raw for name, kind in _named(item).items()}
    if not isinstance(raw, dict):
        return {}
    own = {str(raw["as"]): str(raw["fact"])} if "as" in raw and "fact" in raw else {}
    return own | {name: kind for item in raw.values() for name, kind in _named(item).items()}


def _texts(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = raw.get(key, [])
    _need(
        isinstance(value, list) and all(isinstance(item, str) for item in value), key, "needs a list of texts"
    )
    return tuple(value)


def _confidence(raw: object) -> tuple[float, float, float]:
    """Return (base, share of the subject's relevance, highest value)."""
    _need(isinstance(raw, dict), "confidence", "needs a mapping with base")
    values = cast("dict[str, object]", raw)
    extra = set(values) - {"base", "per_relevance", "ceiling"}
    _need(
        not extra, f"confidence.{min(extra, default='')}", "unknown; known are base, per_relevance, ceiling"
    )
    numbers = {"base": None, "per_relevance": 0.0, "ceiling": 0.97} | values
    for key, value in numbers.items():
        good = isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 1
        _need(good, f"confidence.{key}", "needs a number between -1 and 1")
    return tuple(float(cast("float", numbers[key])) for key in ("base", "per_relevance", "ceiling"))  # type: ignore[return-value]


def _adjustment(raw: object, where: str) -> Adjustment:
    _need(isinstance(raw, dict), where, "needs a mapping with when, add and says")
    values = cast("dict[str, Any]", raw)
    _need(set(values) == {"when", "add", "says"}, where, "needs exactly the keys when, add and says")
    add = values["add"]
    good = isinstance(add, int | float) and not isinstance(add, bool) and -1 <= add <= 1
    _need(good, f"{where}.add", "needs a number between -1 and 1")
    _need(isinstance(values["says"], str), f"{where}.says", "needs text")
    return Adjustment(
        when=parse_condition(values["when"], f"{where}.when"), add=float(add), says=values["says"]
    )


def parse_causality(document: Mapping[str, Any], path: Path) -> Causality:
    """Build the general knowledge about failures.

    Raises:
        TriageError: the first mistake.
    """
    noise: list[Noise] = []
    hints: list[Hint] = []
    known = {"why", "weight", "operation", "name", "errno", "path", "origin", "request"}
    where = "-"
    try:
        for index, raw in enumerate(document.get("noise", [])):
            where = f"noise[{index}]"
            _need(
                isinstance(raw, dict) and {"why", "weight"} <= set(raw) <= known,
                where,
                "needs why and weight",
            )
            sets = {key: frozenset(raw.get(key, ())) for key in ("operation", "name", "errno")}
            expressions = {
                key: compile_regex(raw[key], f"{where}.{key}") if key in raw else None
                for key in ("path", "origin", "request")
            }
            noise.append(
                Noise(
                    why=str(raw["why"]),
                    weight=float(raw["weight"]),
                    operations=sets["operation"],
                    names=sets["name"],
                    errnos=sets["errno"],
                    **expressions,
                )
            )
        for index, raw in enumerate(document.get("hints", [])):
            where = f"hints[{index}]"
            good = isinstance(raw, dict) and set(raw) in ({"message", "path"}, {"message", "request"})
            _need(good, where, "needs message and one of path and request")
            hints.append(Hint(**{key: compile_regex(raw[key], f"{where}.{key}") for key in raw}))
    except BadConditionError as error:
        raise TriageError(f"{path}, key {error.where}: {error.what}") from error
    except (TypeError, ValueError) as error:
        raise TriageError(f"{path}, key {where}: {error}") from error
    return Causality(noise=tuple(noise), hints=tuple(hints))
