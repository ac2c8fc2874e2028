"""Write a run as a bundle: a zip of the files that a reader needs, without secrets, with a manifest.

Unpacked, a bundle is a workspace: `ai_runs/<run id>/` holds the run, so that every command and the app
can show it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from triage_tui import __version__
from triage_tui.errors import TriageError
from triage_tui.export.manifest import MANIFEST_FILE, BundleFile, LeftOut, Manifest
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.reader import MAX_BLOB_BYTES, Run
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.secrets import masked
from triage_tui.runs.writer import ENVIRONMENT_FILE, encode_json
from triage_tui.text import safe_line

MAX_FILE_BYTES = MAX_BLOB_BYTES
MAX_BUNDLE_BYTES = 1 << 30
"""Bytes of all files together, before they are packed."""
MAX_FILES = 4096
MAX_DEPTH = 8
RUNS = "ai_runs"

PLAIN_NAME = re.compile(r"[A-Za-z0-9_+=,@%-][A-Za-z0-9._+=,@%-]{0,199}\Z")
"""Parts of a path that mean the same everywhere."""
_TEXTS = (
    "regs.txt",
    "backtrace.txt",
    "retry.log",
    "diagnosis.md",
)
_JSON = (
    "snapshot.json",
    "diagnosis.json",
    "verdict.json",
    "trace.jsonl",
    "events.jsonl",
    "suspicious_points.json",
)
_DIRECTORIES = ("pseudocode/", "logs/", "rules_patch/")
_PRIVATE = {
    "start.json": "it holds the environment, for starting the program again",
    "trace-full.gz": "the text of all calls is not searched for secrets; trace.jsonl has the calls",
}


def write_bundle(
    run: Run,
    stream: BinaryIO,
    *,
    memory: bool = False,
    redaction: Redaction | None = None,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Write `run` to a stream that can be sought; `memory` takes its memory objects along.

    `step` is told how many of how many files are done, and may end it by raising.
    """
    redaction = redaction or Redaction.of(run)
    objects = {entry.blob.file for entry in run.snapshot.memory if entry.blob is not None}
    names = list(_files(run.dir))
    files: list[BundleFile] = []
    left_out: list[LeftOut] = []
    room = MAX_BUNDLE_BYTES
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for done, (name, problem) in enumerate(names):
            step(done, len(names))
            why = problem or unwanted(name, objects, memory)
            if not why:
                try:
                    data, count = _content(run, name, redaction)
                    if len(data) > room:
                        raise TriageError(f"the bundle would be larger than {MAX_BUNDLE_BYTES} bytes")
                except TriageError as error:
                    why = str(error)
            if why:
                left_out.append(LeftOut(name=safe_line(name, 400), why=redaction.text(safe_line(why, 400))))
                continue
            room -= len(data)
            packed = f"{RUNS}/{run.run_id}/{name}"
            _add(archive, packed, data)
            files.append(
                BundleFile(name=packed, size=len(data), sha256=hashlib.sha256(data).hexdigest(), masked=count)
            )
        manifest = Manifest(
            run_id=run.run_id,
            written_by=f"triage-tui {__version__}",
            secrets="kept" if redaction.off else "masked",
            memory=memory,
            files=files,
            left_out=left_out,
            record_schema_version=run.snapshot.schema_version,
        )
        _add(archive, MANIFEST_FILE, encode_json(manifest))
    step(len(names), len(names))
    return manifest


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    archive.writestr(entry, data)


def _files(run_dir: Path, below: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Return names below the run directory, sorted, and why some of them cannot be taken; follow no links."""
    try:
        with os.scandir(run_dir / below) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))[: MAX_FILES + 1]
    except OSError as error:
        yield below, f"it cannot be listed: {error.strerror}"
        return
    for number, entry in enumerate(entries):
        name = below + entry.name
        if number >= MAX_FILES:
            yield below or ".", f"only the first {MAX_FILES} names of a directory are taken"
        elif not PLAIN_NAME.match(entry.name):
            yield name, "its name holds characters that do not mean the same everywhere"
        elif entry.is_dir(follow_symlinks=False):
            if depth >= MAX_DEPTH:
                yield name, "it lies too deep"
            elif name == "memory" or f"{name}/".startswith(_DIRECTORIES):
                yield from _files(run_dir, f"{name}/", depth + 1)
            else:
                yield name, "it is no directory of a run that a reader needs"
        elif not entry.is_file(follow_symlinks=False):
            yield name, "it is no regular file"
        else:
            yield name, ""


def unwanted(name: str, objects: Collection[str], memory: bool) -> str:
    """Return why a file is not taken, "" when it is."""
    if name in _PRIVATE:
        return _PRIVATE[name]
    if name.startswith("memory/"):
        if name not in objects:
            return "whole memory is never taken"
        return "" if memory else "memory is only taken when that is asked for"
    if name in _TEXTS or name in _JSON or name == ENVIRONMENT_FILE or name.startswith(_DIRECTORIES):
        return ""
    return "no reader needs it"


def _content(run: Run, name: str, redaction: Redaction) -> tuple[bytes, int]:
    """Return a file as it goes into the bundle, and how many places of it were masked.

    Raises:
        TriageError: it cannot be read, is too large, or holds secrets that cannot be masked.
    """
    data = read_bounded(inside(run.dir, name), MAX_FILE_BYTES, whole=True)
    if redaction.off:
        return data, 0
    before = redaction.count
    if name == ENVIRONMENT_FILE:
        data = _environments(run, redaction)
    elif name.startswith("memory/"):
        if redaction.found_in_bytes(data):
            raise TriageError("it holds what looks like a secret")
    else:
        text = data.decode("utf-8", "surrogateescape")
        if redaction.found_in(text):
            data = _masked_json(name, data, redaction) if name in _JSON else _masked_text(text, redaction)
    return data, redaction.count - before


def _masked_text(text: str, redaction: Redaction) -> bytes:
    return redaction.text(text).encode("utf-8", "surrogateescape")


def _masked_json(name: str, data: bytes, redaction: Redaction) -> bytes:
    try:
        if not name.endswith(".jsonl"):
            return encode_json(redaction.value(msgspec.json.decode(data)))
        lines = []
        for line in data.split(b"\n"):
            if line and redaction.found_in(line.decode("utf-8", "replace")):
                line = encode_line(redaction.value(msgspec.json.decode(line)))
            lines.append(line)
        return b"\n".join(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TriageError("it holds what looks like a secret, and is no JSON in which to mask it") from error


def _environments(run: Run, redaction: Redaction) -> bytes:
    known = run.environments()
    shown: dict[int, list[str]] = {}
    for pid, entries in known.items():
        shown[pid] = []
        for entry in entries:
            hidden = masked(entry)
            redaction.count += hidden != entry
            shown[pid].append(redaction.text(hidden))
    return encode_json(shown)
