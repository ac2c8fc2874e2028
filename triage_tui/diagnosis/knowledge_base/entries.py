"""The entries of a knowledge base file: their shape, and reading them with every mistake reported."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, cast

import msgspec

from triage_tui.diagnosis.cite import PLACEHOLDER
from triage_tui.diagnosis.conditions import NEVER, Condition, Leaf, parse_condition, parse_leaf
from triage_tui.diagnosis.knowledge_base.documents import Document
from triage_tui.diagnosis.knowledge_base.mistakes import (
    MAX_MISTAKES,
    Mistake,
    TooManyMistakesError,
)
from triage_tui.diagnosis.knowledge_base.names import check_names, check_shown, check_text
from triage_tui.diagnosis.matchers import Report, choose
from triage_tui.runs.diagnosis_model import EXPERIMENT_KINDS

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
    "adjust", "explanation", "wanted", "experiments", "proposals", "references", "cases",
}  # fmt: skip
_REQUIRED = ("id", "version", "cause", "title", "subject", "confidence", "explanation")
STATUSES = ("stable", "experimental", "disabled")
MAX_ENTRIES = 1000
"""Entries of one file."""
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,79}\Z")
"""What ids of entries and names of cases look like."""


class Adjustment(msgspec.Struct, frozen=True):
    """A change of confidence when a condition holds; a negative one is contrary evidence."""

    when: Condition
    add: float
    says: str


class Cases(msgspec.Struct, frozen=True):
    """Names of recorded cases: where the entry has to come first, and where it must not."""

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()


class Entry(msgspec.Struct, frozen=True):
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
    line: int = 0
    cases: Cases = msgspec.field(default_factory=Cases)
    shipped: bool = True
    """It came with the product, not from a directory of the user's."""
    digest: str = ""
    """Over what the file says of it, without regard to its place."""
    experiments: tuple[str, ...] = ()
    """Kinds of experiments that would settle the matter, best first."""


def parse_entries(document: Document, report: Callable[[Mistake], None], *, shipped: bool) -> list[Entry]:
    """Build the entries of one file. Those with mistakes are left out; each mistake goes to `report`."""
    file = str(document.path)

    def tell(key: str, what: str, do: str = "") -> None:
        report(Mistake(file=file, line=document.line(key), key=key, what=what, do=do))

    for key in islice(document.data, MAX_MISTAKES):
        if key not in ("schema", "entries"):
            tell(str(key), "unknown key", "a file holds schema and entries")
    raw = document.data.get("entries")
    if not isinstance(raw, list) or not raw:
        tell("entries", "needs a list of entries")
        return []
    if len(raw) > MAX_ENTRIES:
        tell(
            "entries", f"holds {len(raw)} entries, more than the {MAX_ENTRIES} that one file may", "split it"
        )
        return []
    found: list[Entry] = []
    lines: dict[str, int] = {}
    told = 0
    for index, item in enumerate(raw):
        place = f"entries[{index}]"
        name = _name(item, index)
        mistakes: list[Mistake] = []
        note = _collector(document, place, name, mistakes)
        entry: Entry | None = None
        with contextlib.suppress(TooManyMistakesError):
            entry = _entry(item, file, document.line(place), note, shipped=shipped)
            if entry is not None and entry.id in lines:
                note("id", f"the same id is used in {file}:{lines[entry.id]}", "give one of them another")
        for mistake in mistakes:
            report(mistake)
        told += len(mistakes)
        if told >= MAX_MISTAKES:
            tell(place, f"it has {MAX_MISTAKES} mistakes or more; what follows was not looked at")
            break
        if entry is not None and not mistakes:
            lines[entry.id] = entry.line
            found.append(entry)
    return found


def _collector(document: Document, place: str, entry: str, into: list[Mistake]) -> Report:
    def note(key: str, what: str, do: str = "") -> None:
        line = document.line(f"{place}.{key}")
        into.append(Mistake(file=str(document.path), line=line, entry=entry, key=key, what=what, do=do))
        if len(into) >= MAX_MISTAKES:
            raise TooManyMistakesError

    return note


def _name(item: object, index: int) -> str:
    name = item.get("id") if isinstance(item, dict) else None
    return name if isinstance(name, str) and ID.match(name) else f"number {index + 1}"


def _entry(raw: object, file: str, line: int, report: Report, *, shipped: bool) -> Entry | None:
    """Build one entry; what is built where something was reported is not for use."""
    if not isinstance(raw, dict):
        report("", "an entry is a mapping", "")
        return None
    for key in raw:
        if key not in _ENTRY_KEYS:
            report(str(key), "unknown", choose(key, _ENTRY_KEYS))
    for key in _REQUIRED:
        if key not in raw:
            report(key, "missing", "")
    read = _Reader(raw, report)
    read.check(
        "id", isinstance(raw.get("id"), str) and ID.match(raw["id"]), "needs lower-case words with hyphens"
    )
    read.check("version", type(raw.get("version")) is int, "needs a whole number")
    status = raw.get("status", "stable")
    if status not in STATUSES:
        report("status", f"needs one of {', '.join(STATUSES)}", "")
    for key in ("cause", "proximate"):
        if key in raw and not (isinstance(raw[key], str) and raw[key] in CAUSES):
            report(key, f"unknown cause {_short(raw[key])}", choose(raw[key], CAUSES))
    read.check("healthy", type(raw.get("healthy", False)) is bool, "needs true or false")
    read.check("title", isinstance(raw.get("title"), str), "needs text")
    good_subject = read.check(
        "subject", isinstance(raw.get("subject"), dict), "needs a question about one kind of fact"
    )
    subject = parse_leaf(raw["subject"], "subject", report) if good_subject else Leaf("", ())
    base, per_relevance, ceiling = _confidence(raw.get("confidence", {"base": 0}), report)
    when = parse_condition(raw["when"], "when", report) if "when" in raw else None
    adjust = _adjustments(raw.get("adjust", []), report)
    explanation = read.texts("explanation")
    wanted = read.texts("wanted")
    read.check("explanation", "explanation" not in raw or explanation, "needs at least one sentence")
    names = check_names(subject, when, [change.when for change in adjust], report)
    title = raw.get("title")
    if isinstance(title, str):
        check_text("title", title, names, report)
    for key, texts in (("explanation", explanation), ("wanted", wanted)):
        for index, text in enumerate(texts):
            check_text(f"{key}[{index}]", text, names, report)
    for index, sentence in enumerate(explanation):
        if not any(match[2] == "cite" for match in PLACEHOLDER.finditer(sentence)):
            report(
                f"explanation[{index}]", "this sentence cites nothing", "put {subject.cite} or another in it"
            )
    return Entry(
        id=str(raw.get("id")),
        version=raw.get("version") if type(raw.get("version")) is int else 0,  # type: ignore[arg-type]
        status=str(status),
        cause=str(raw.get("cause")),
        proximate=str(raw.get("proximate", "")),
        healthy=raw.get("healthy") is True,
        title=str(title),
        subject=subject,
        when=when,
        base=base,
        per_relevance=per_relevance,
        ceiling=ceiling,
        adjust=adjust,
        explanation=explanation,
        wanted=wanted,
        proposals=read.texts("proposals"),
        references=read.texts("references"),
        file=file,
        line=line,
        cases=_cases(raw.get("cases", {}), report),
        shipped=shipped,
        digest=hashlib.sha256(repr(raw).encode("utf-8", "surrogatepass")).hexdigest(),
        experiments=_experiments(read.texts("experiments"), report),
    )


def _experiments(kinds: tuple[str, ...], report: Report) -> tuple[str, ...]:
    for index, kind in enumerate(kinds):
        if kind not in EXPERIMENT_KINDS:
            report(f"experiments[{index}]", f"unknown kind {_short(kind)}", choose(kind, EXPERIMENT_KINDS))
    return kinds


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


class _Reader:
    """Reads the plain keys of one entry."""

    def __init__(self, raw: Mapping[str, Any], report: Report) -> None:
        self._raw = raw
        self._report = report

    def check(self, key: str, good: object, what: str) -> bool:
        """Report `what` about a key that is there and not good."""
        if key in self._raw and not good:
            self._report(key, what, "")
        return key in self._raw and bool(good)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; what is none is reported."""
        value = self._raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._report(key, "needs a list of texts", "")
            return ()
        return tuple(value)


def _confidence(raw: object, report: Report) -> tuple[float, float, float]:
    """Return (base, share of the subject's relevance, highest value)."""
    if not isinstance(raw, dict) or "base" not in raw:
        report("confidence", "needs a mapping with base", "")
        return 0.0, 0.0, 0.0
    numbers: dict[str, Any] = {"base": None, "per_relevance": 0.0, "ceiling": 0.97}
    for key, value in raw.items():
        if key not in numbers:
            report(f"confidence.{key}", "unknown", choose(key, numbers))
        elif not _is_share(value):
            report(f"confidence.{key}", "needs a number between -1 and 1", "")
        else:
            numbers[key] = float(value)
    return numbers["base"] or 0.0, numbers["per_relevance"], numbers["ceiling"]


def _is_share(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(cast("float", value)) and -1 <= cast("float", value) <= 1


def _adjustments(raw: object, report: Report) -> tuple[Adjustment, ...]:
    if not isinstance(raw, list):
        report("adjust", "needs a list of mappings with when, add and says", "")
        return ()
    return tuple(_adjustment(item, f"adjust[{index}]", report) for index, item in enumerate(raw))


def _adjustment(raw: object, where: str, report: Report) -> Adjustment:
    if not isinstance(raw, dict) or set(raw) != {"when", "add", "says"}:
        report(where, "needs exactly the keys when, add and says", "")
    values = cast("dict[str, Any]", raw if isinstance(raw, dict) else {})
    add = values.get("add", 0.0)
    if not _is_share(add):
        report(f"{where}.add", "needs a number between -1 and 1", "")
        add = 0.0
    says = values.get("says", "")
    if not isinstance(says, str):
        report(f"{where}.says", "needs text", "")
    elif says:
        check_shown(f"{where}.says", says, report)
    when = parse_condition(values["when"], f"{where}.when", report) if "when" in values else NEVER
    return Adjustment(when=when, add=float(add), says=str(says))


def _cases(raw: object, report: Report) -> Cases:
    if not isinstance(raw, dict) or not set(raw) <= {"positive", "negative"}:
        report(
            "cases", "needs a mapping with positive and negative", "each a list of names of recorded cases"
        )
        return Cases()
    lists: dict[str, tuple[str, ...]] = {}
    for key, names in raw.items():
        if isinstance(names, list) and all(isinstance(name, str) and ID.match(name) for name in names):
            lists[key] = tuple(names)
        else:
            report(f"cases.{key}", "needs a list of names of recorded cases", "")
    for name in sorted(set(lists.get("positive", ())) & set(lists.get("negative", ()))):
        report("cases", f"{name} is both positive and negative", "the entry either has to win there or not")
    return Cases(**lists)
