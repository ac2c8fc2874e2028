"""One generation of rules on disk: its manifest, and the proof that its bytes are those it was made of.

    generations/0007/manifest.json      this module's `Generation`, without `directory`
    generations/0007/syscall/openat@fix-openat-3f2a91c0.lua     see `kinds` for the other directories

`digest` covers the whole manifest and, through the hashes in it, every file; the next generation records it
as `parent_digest`, so that an old generation cannot be changed unnoticed together with its manifest.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import kinds
from triage_tui.rulebook.rulefile import MAX_RULE_BYTES
from triage_tui.runs.files import read_bounded
from triage_tui.runs.record import Record
from triage_tui.text import safe_line

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILES = 4096
RELATIVE_PATH = kinds.PLACE
"""The only files that a generation holds."""


class SetAside(Record):
    """A rule that is kept and does not act, because what it was born from is not so any more.

    `sha256` is that of its text, which lies in generation `generation` of the target `target`. `gone` is the
    part of its evidence that is not so any more, see `evidence`; `why` says it in one sentence.
    """

    sha256: str
    target: str
    generation: int
    why: str
    gone: Literal["binary", "site", "errno"] = "binary"


class Generation(Record):
    """One immutable set of active rules.

    `parent` is the generation that was active before, None for the first; `files` maps each path below the
    directory to the SHA-256 of its bytes; `rule_ids` are the ids of their headers, in the order of the
    paths; `created` is local time with zone, ISO 8601.
    """

    number: int
    parent: int | None
    created: str
    actor: str
    reason: str
    files: dict[str, str]
    rule_ids: list[str]
    parent_digest: str = ""
    digest: str = ""
    version: int = MANIFEST_VERSION
    set_aside: dict[str, SetAside] = {}
    """Paths of rules that do not act, and why; see `expiry`."""
    directory: Path = Path()
    """Where it was read from; not part of the manifest."""


def digest_of(generation: Generation) -> str:
    """Return the SHA-256 over every field of the manifest but the digest itself."""
    fields = {**_fields(generation), "digest": ""}
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def encode(generation: Generation) -> bytes:
    """Return the manifest's bytes."""
    fields = _fields(generation)
    return msgspec.json.format(msgspec.json.encode(fields, order="sorted"), indent=2) + b"\n"


class _Manifest(Record):
    """The fields that are on disk."""

    number: int
    parent: int | None
    created: str
    actor: str
    reason: str
    files: dict[str, str]
    rule_ids: list[str]
    parent_digest: str
    digest: str
    version: int
    set_aside: dict[str, SetAside] = {}


def _fields(generation: Generation) -> dict[str, Any]:
    plain = _Manifest(**{name: getattr(generation, name) for name in _Manifest.__struct_fields__})
    fields: dict[str, Any] = msgspec.to_builtins(plain)
    if not generation.set_aside:
        # Manifests of versions that set nothing aside keep their digest.
        del fields["set_aside"]
    return fields


def load(directory: Path) -> Generation:
    """Read the manifest of one generation; the files are not looked at (see `verify`).

    Raises:
        TriageError: it is missing, unreadable, not of this format, or names files that cannot be.
    """
    path = directory / MANIFEST
    shown = safe_line(str(path))
    raw = read_bounded(path, MAX_MANIFEST_BYTES, whole=True)
    try:
        found = msgspec.json.decode(raw, type=_Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TriageError(f"{shown} is damaged: {safe_line(str(error), 200)}") from None
    if found.version != MANIFEST_VERSION:
        raise TriageError(f"{shown} has version {found.version}, only {MANIFEST_VERSION} is known")
    names = [*found.files, *found.set_aside]
    if len(names) > 2 * MAX_FILES or not all(map(RELATIVE_PATH.fullmatch, names)):
        raise TriageError(f"{shown} names files that are no rule files")
    fields = {name: getattr(found, name) for name in _Manifest.__struct_fields__}
    return Generation(**fields, directory=directory)


def verify(generation: Generation) -> list[str]:
    """Return what is wrong with a generation, one sentence each; empty when every byte is as it was made."""
    problems = []
    where = f"generation {generation.number}"
    try:
        stored = load(generation.directory)
    except TriageError as error:
        return [str(error)]
    if digest_of(stored) != stored.digest:
        problems.append(f"the manifest of {where} was changed after it was written")
    elif stored.digest != generation.digest:
        problems.append(f"the manifest of {where} is not the one that was expected")
    if generation.directory.name != f"{stored.number:04}":
        problems.append(f"{where} lies in a directory of another number")
    for name, expected in sorted(stored.files.items()):
        try:
            data = read_file(stored, name)
        except TriageError as error:
            problems.append(str(error))
            continue
        if hashlib.sha256(data).hexdigest() != expected:
            problems.append(f"{name} of {where} was changed after it was written")
    problems += [
        f"{safe_line(name)} was added to {where}"
        for name in sorted(_on_disk(generation.directory) - set(stored.files) - {MANIFEST})
    ]
    return problems


def read_file(generation: Generation, name: str) -> bytes:
    """Return the bytes of one file of a generation, unproved; TriageError when it cannot be read."""
    return read_bounded(generation.directory / name, MAX_RULE_BYTES, whole=True)


def _on_disk(directory: Path) -> set[str]:
    """Return everything below `directory` that is not a directory; links are not followed."""
    names = set()
    for parent, directories, files in os.walk(directory):
        linked = [name for name in directories if os.path.islink(os.path.join(parent, name))]
        names |= {os.path.relpath(os.path.join(parent, name), directory) for name in files + linked}
    return names
