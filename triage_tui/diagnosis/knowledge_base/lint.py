"""Lint of knowledge base files: all mistakes of all files, also those that only show between files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from triage_tui.diagnosis.knowledge import CAUSALITY_FILE, knowledge_files, read_knowledge
from triage_tui.diagnosis.knowledge_base.cases import find_case, load_case
from triage_tui.diagnosis.knowledge_base.causality_file import parse_causality
from triage_tui.diagnosis.knowledge_base.documents import BadDocumentError, Document, read_document
from triage_tui.diagnosis.knowledge_base.entries import Entry, parse_entries
from triage_tui.diagnosis.knowledge_base.mistakes import Mistake, Severity
from triage_tui.diagnosis.matchers import choose
from triage_tui.errors import TriageError
from triage_tui.resources import shipped


class Linted(msgspec.Struct):
    """What a lint found."""

    files: list[str] = msgspec.field(default_factory=list)
    entries: list[Entry] = msgspec.field(default_factory=list)
    """Those without a mistake of their own."""
    mistakes: list[Mistake] = msgspec.field(default_factory=list)
    overridden: list[str] = msgspec.field(default_factory=list)
    templates: set[str] = msgspec.field(default_factory=set)
    """Rule templates of the places."""

    @property
    def errors(self) -> int:
        """How many mistakes keep an entry or a file from use."""
        return sum(mistake.severity == "error" for mistake in self.mistakes)


def lint(places: Iterable[Path]) -> Linted:
    """Check files and directories as parts of one knowledge base; later ones override earlier ones.

    Below them lies what shipped, whether it is among the places or not.

    Raises:
        TriageError: a place is not there.
    """
    found = Linted()
    known = {entry.id: entry for entry in read_knowledge().entries}
    mine: dict[str, Entry] = {}
    for place in places:
        if place.is_file():
            paths = [place]
        elif place.is_dir():
            paths = knowledge_files(place, found.mistakes)
        else:
            raise TriageError(f"there is no file or directory {place}")
        _templates(place, found)
        for path in [path for path in paths if not _is_of_templates(path)]:
            found.files.append(str(path))
            for entry in _file(path, found):
                _compare(entry, known, mine, found)
                known[entry.id] = mine[entry.id] = entry
    found.entries = list(mine.values())
    order = {name: number for number, name in enumerate(found.files)}
    found.mistakes.sort(key=lambda mistake: (order.get(mistake.file, -1), mistake.line))
    return found


def _is_of_templates(path: Path) -> bool:
    return path.parent.name == "templates"


def _templates(place: Path, found: Linted) -> None:
    """Check the files with rule templates of a place, or the one that the place is."""
    from triage_tui.proposals.templates import broken_lua, read_templates, template_files

    if place.resolve() == shipped("rules").resolve():
        read = read_templates([])
    elif place.is_dir():
        if not template_files(place, []):
            return
        read = read_templates([place])
    elif _is_of_templates(place):
        read = read_templates([place.parent.parent])
    else:
        return
    own = [
        name for name in read.files if Path(name).is_relative_to(place if place.is_dir() else place.parent)
    ]
    found.files += own
    found.overridden += [text for text in read.overridden if text.startswith(tuple(own))]
    wrong = [*read.mistakes, *broken_lua(read)]
    found.mistakes += [mistake for mistake in wrong if mistake.file in own]
    found.templates |= read.templates.keys()


def _file(path: Path, found: Linted) -> list[Entry]:
    try:
        document, _ = read_document(path)
    except BadDocumentError as error:
        found.mistakes.append(error.mistake)
        return []
    if path.name == CAUSALITY_FILE:
        parse_causality(document, found.mistakes.append)
        return []
    own = path.resolve().parent == shipped("rules").resolve()
    entries = parse_entries(document, found.mistakes.append, shipped=own)
    for entry in entries:
        _check_proposals(entry, document, found)
        _check_cases(entry, document, found)
        _check_worth(entry, document, found)
    return entries


def _note(
    found: Linted,
    entry: Entry,
    document: Document,
    key: str,
    what: str,
    do: str,
    severity: Severity = "error",
) -> None:
    raw = document.data["entries"]
    index = next(i for i, item in enumerate(raw) if isinstance(item, dict) and item.get("id") == entry.id)
    line = document.line(f"entries[{index}].{key}")
    found.mistakes.append(
        Mistake(file=entry.file, line=line, entry=entry.id, key=key, what=what, do=do, severity=severity)
    )


def _check_proposals(entry: Entry, document: Document, found: Linted) -> None:
    from triage_tui.proposals.templates import load_library

    templates = load_library().templates.keys() | found.templates
    for index, name in enumerate(entry.proposals):
        if name not in templates:
            what, do = f"there is no template {name!r}", choose(name, templates)
            _note(found, entry, document, f"proposals[{index}]", what, do)
    if entry.healthy and entry.proposals:
        what = "a healthy program needs no rule, so these are never proposed"
        _note(found, entry, document, "proposals", what, "leave the list empty", "warning")


def _check_cases(entry: Entry, document: Document, found: Linted) -> None:
    severity: Severity = "error" if entry.shipped else "warning"
    for kind, names in (("positive", entry.cases.positive), ("negative", entry.cases.negative)):
        if not names and entry.status != "disabled":
            do = f"name one below cases.{kind}; `triage-tui kb case RUN NAME` makes one of a run"
            _note(found, entry, document, "cases", f"no {kind} recorded case", do, severity)
        for index, name in enumerate(names):
            key = f"cases.{kind}[{index}]"
            path = find_case(entry, name)
            if path is None:
                place = Path(entry.file).parent / "cases"
                what = f"there is no recorded case {name}"
                _note(found, entry, document, key, what, f"put {name}.json into {place}")
                continue
            try:
                case = load_case(path)
            except TriageError as error:
                _note(found, entry, document, key, str(error), "record it again")
                continue
            if kind == "positive" and entry.cause not in case.accepted:
                what = f"the label of {name} says {case.cause}, the entry {entry.cause}"
                _note(found, entry, document, key, what, "correct one of them")


def _check_worth(entry: Entry, document: Document, found: Linted) -> None:
    """Warn of what makes an answer of the entry hard to check."""
    if entry.status == "disabled" or entry.cause == "unknown":
        return
    if not entry.wanted:
        do = "say what would settle the matter"
        _note(found, entry, document, "wanted", "no evidence is wanted", do, "warning")
    if not any(change.add < 0 for change in entry.adjust):
        do = "say what would speak against it, with a negative add"
        _note(found, entry, document, "adjust", "nothing ever speaks against it", do, "warning")


def _compare(entry: Entry, known: dict[str, Entry], mine: dict[str, Entry], found: Linted) -> None:
    """Note an id that is used twice in one directory, or that replaces one of an earlier directory."""
    earlier = mine.get(entry.id) or known.get(entry.id)
    if earlier is None or (entry.shipped and entry.id not in mine):
        return
    if Path(earlier.file).parent == Path(entry.file).parent:
        what = f"the same id is used in {earlier.file}:{earlier.line}"
        do = "give one of them another"
        found.mistakes.append(
            Mistake(file=entry.file, line=entry.line, entry=entry.id, key="id", what=what, do=do)
        )
    else:
        found.overridden.append(f"{entry.file}:{entry.line} replaces entry {entry.id} of {earlier.file}")


def as_data(found: Linted) -> dict[str, object]:
    """Return what was found as plain data, for JSON."""
    return {
        "files": found.files,
        "entries": len(found.entries),
        "errors": found.errors,
        "warnings": len(found.mistakes) - found.errors,
        "overridden": found.overridden,
        "mistakes": [msgspec.to_builtins(mistake) for mistake in found.mistakes],
    }
