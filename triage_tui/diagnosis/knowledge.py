"""The knowledge base: YAML files in which each entry says when a cause is likely and how to show it.

Files are read from the shipped `rules/` directory and from user directories; an entry or file of the same id
or name in a later directory replaces the earlier one. The format is described in docs/knowledge-base.md.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from triage_tui.diagnosis.calibration import CALIBRATION_FILE, IDENTITY, Calibration, read_calibration
from triage_tui.diagnosis.causality import Causality
from triage_tui.diagnosis.knowledge_base.causality_file import CAUSALITY_FILE as CAUSALITY_FILE
from triage_tui.diagnosis.knowledge_base.causality_file import parse_causality
from triage_tui.diagnosis.knowledge_base.documents import MAX_FILE_BYTES, BadDocumentError, read_document
from triage_tui.diagnosis.knowledge_base.entries import CAUSES as CAUSES
from triage_tui.diagnosis.knowledge_base.entries import STATUSES as STATUSES
from triage_tui.diagnosis.knowledge_base.entries import Adjustment as Adjustment
from triage_tui.diagnosis.knowledge_base.entries import Entry as Entry
from triage_tui.diagnosis.knowledge_base.entries import parse_entries
from triage_tui.diagnosis.knowledge_base.mistakes import Mistake
from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.text import safe_line

MAX_FILES = 200
"""Files of one directory."""
MAX_ENTRIES_IN_ALL = 3000
MAX_BYTES = 8 << 20
"""Of all files of one directory."""


class KnowledgeBase(msgspec.Struct):
    """All entries, and what is known about failures in general."""

    entries: list[Entry] = msgspec.field(default_factory=list)
    causality: Causality = msgspec.field(default_factory=Causality)
    calibration: Calibration = IDENTITY
    """What the confidences of the entries mean, measured."""
    sha256: str = ""
    """Over the files in the order read: two runs with the same value were judged alike."""
    overridden: list[str] = msgspec.field(default_factory=list)
    """One sentence for each shipped file or entry that a user's directory replaced."""
    mistakes: list[Mistake] = msgspec.field(default_factory=list)
    """What is wrong with the files; entries with mistakes are not among `entries`."""
    disabled: list[Entry] = msgspec.field(default_factory=list)
    """Entries that are switched off by their status."""


def load_knowledge(directories: Iterable[Path] | None = None) -> KnowledgeBase:
    """Load the shipped knowledge base and then `directories`, later ones overriding; refuse any mistake.

    Raises:
        TriageError: the first mistake found, with file, line, entry and key, and how many there are.
    """
    base = read_knowledge(directories)
    if base.mistakes:
        more = len(base.mistakes) - 1
        rest = f" (and {more} more: `triage-tui kb lint` lists them)" if more else ""
        raise TriageError(base.mistakes[0].sentence() + rest)
    return base


def read_knowledge(directories: Iterable[Path] | None = None) -> KnowledgeBase:
    """Load the shipped knowledge base and then `directories`, leaving out what has mistakes.

    Raises:
        TriageError: a directory is not there.
    """
    base = KnowledgeBase()
    entries: dict[str, Entry] = {}
    digest = hashlib.sha256()
    places = [shipped("rules"), *(directories or ())]
    for position, directory in enumerate(places):
        for path in knowledge_files(directory, base.mistakes):
            try:
                document, raw = read_document(path, bounded=position > 0)
            except BadDocumentError as error:
                base.mistakes.append(error.mistake)
                continue
            digest.update(path.name.encode("utf-8", "surrogateescape") + b"\0" + raw + b"\0")
            if path.name == CAUSALITY_FILE:
                before = len(base.mistakes)
                causality = parse_causality(document, base.mistakes.append)
                if not position:
                    base.causality = causality
                elif len(base.mistakes) == before:
                    base.causality = causality
                    base.overridden.append(f"{path} replaces the shipped {CAUSALITY_FILE}")
                continue
            for entry in parse_entries(document, base.mistakes.append, shipped=not position):
                _add(entries, entry, directory, base)
        if (path := directory / CALIBRATION_FILE).is_file():
            digest.update(_calibrate(base, path, replaces=bool(position)))
    if len(places) > 1:
        _add_templates(base, places[1:], digest)
    base.entries = [entry for entry in entries.values() if entry.status != "disabled"]
    base.disabled = [entry for entry in entries.values() if entry.status == "disabled"]
    base.sha256 = digest.hexdigest()
    return base


def _add_templates(base: KnowledgeBase, directories: list[Path], digest: hashlib._Hash) -> None:
    """Tell of a person's own rule templates: what they replace, and what is wrong with them."""
    # What shipped is read without them, and most have none.
    if not any((directory / "templates").is_dir() for directory in directories):
        return
    from triage_tui.proposals.templates import read_templates

    library = read_templates(directories)
    base.overridden += library.overridden
    base.mistakes += library.mistakes
    for template in library.templates.values():
        digest.update(repr(template).encode("utf-8", "surrogateescape") if template.origin else b"")


def _calibrate(base: KnowledgeBase, path: Path, *, replaces: bool) -> bytes:
    """Take the calibration in `path`; returns the bytes of the file."""
    try:
        base.calibration, raw = read_calibration(path)
    except TriageError as error:
        base.mistakes.append(Mistake(file=str(path), line=0, what=str(error), do="fit it again"))
        return b""
    if replaces:
        base.overridden.append(f"{path} replaces the shipped calibration")
    return raw


def knowledge_files(directory: Path, mistakes: list[Mistake]) -> list[Path]:
    """Return the knowledge base files of a directory, sorted; too many are a mistake.

    Raises:
        TriageError: there is no such directory, or it cannot be read.
    """
    shown = safe_line(str(directory), 300)
    if not directory.is_dir():
        raise TriageError(f"the knowledge base directory {shown} does not exist")
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(".yaml"))
    except OSError as error:
        raise TriageError(f"the knowledge base directory {shown} cannot be read: {error.strerror}") from error
    if len(paths) > MAX_FILES:
        what = f"it holds {len(paths)} files, and only the first {MAX_FILES} are read"
        mistakes.append(
            Mistake(file=str(directory), line=0, what=what, do="put the entries into fewer files")
        )
    return _within_bounds(directory, paths[:MAX_FILES], mistakes)


def _within_bounds(directory: Path, paths: list[Path], mistakes: list[Mistake]) -> list[Path]:
    """Return the first files that hold no more than is read of one directory."""
    total = 0
    for index, path in enumerate(paths):
        with contextlib.suppress(OSError):
            total += min(path.stat().st_size, MAX_FILE_BYTES)
        if total > MAX_BYTES:
            what = f"it holds more than {MAX_BYTES >> 20} MiB; {path.name} and what follows is not read"
            mistakes.append(Mistake(file=str(directory), line=0, what=what, do="keep fewer files in it"))
            return paths[:index]
    return paths


def _add(entries: dict[str, Entry], entry: Entry, directory: Path, base: KnowledgeBase) -> None:
    def tell(what: str, do: str) -> None:
        base.mistakes.append(
            Mistake(file=entry.file, line=entry.line, entry=entry.id, key="id", what=what, do=do)
        )

    earlier = entries.get(entry.id)
    if earlier is not None and Path(earlier.file).parent == directory:
        tell(f"the same id is used in {earlier.file}:{earlier.line}", "give one of them another")
        return
    if earlier is None and len(entries) >= MAX_ENTRIES_IN_ALL:
        if len(entries) == MAX_ENTRIES_IN_ALL and not any("in all" in one.what for one in base.mistakes[-1:]):
            tell(f"there are more than {MAX_ENTRIES_IN_ALL} entries in all", "the rest is left out")
        return
    if earlier is not None:
        base.overridden.append(f"{entry.file} replaces entry {entry.id} of {earlier.file}")
    entries[entry.id] = entry
