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

from triage_tui import __version__
from triage_tui.errors import TriageError
from triage_tui.export.manifest import MANIFEST_FILE, BundleFile, LeftOut, Manifest
from triage_tui.export.masking import MAX_FILE_BYTES as MAX_FILE_BYTES
from triage_tui.export.masking import Masking
from triage_tui.runs.left_out import LEFT_OUT_FILE, LeftOutFile, LeftOutFiles
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.writer import ENVIRONMENT_FILE, encode_json
from triage_tui.text import safe_line

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
    "added_logs.json",
    LEFT_OUT_FILE,
)
_DIRECTORIES = ("pseudocode/", "logs/", "rules_patch/", "analyst/", "trials/")
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
    names = [one for one in _files(run.dir) if one[0] != LEFT_OUT_FILE]
    masking = Masking(run, redaction)
    files: list[BundleFile] = []
    left_out: list[LeftOut] = []
    room = MAX_BUNDLE_BYTES
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for done, (name, problem) in enumerate(names):
            step(done, len(names))
            why = problem or unwanted(name, objects, memory)
            if not why:
                try:
                    data, count = masking.content(name, memory=memory)
                    if len(data) > room:
                        raise TriageError(f"the bundle would be larger than {MAX_BUNDLE_BYTES} bytes")
                except TriageError as error:
                    why = str(error)
            if why:
                shown = safe_line(masking.name_of(name), 400)
                left_out.append(LeftOut(name=shown, why=redaction.text(safe_line(why, 400))))
                continue
            room -= len(data)
            packed = f"{RUNS}/{run.run_id}/{name}"
            _add(archive, packed, data)
            files.append(_entry(packed, data, count))
        told = _told(run, left_out, {name for name, _ in names})
        if told.files:
            data = encode_json(told)
            packed = f"{RUNS}/{run.run_id}/{LEFT_OUT_FILE}"
            _add(archive, packed, data)
            files.append(_entry(packed, data, 0))
            files.sort(key=lambda one: one.name)
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


def _entry(name: str, data: bytes, masked: int) -> BundleFile:
    return BundleFile(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest(), masked=masked)


def _told(run: Run, left_out: list[LeftOut], there: Collection[str]) -> LeftOutFiles:
    """Return what the run in the bundle says of what it lacks, also of what it lacked before."""
    found = {name: why for name, why in run.left_out.items() if name not in there}
    found |= {one.name: one.why for one in left_out}
    return LeftOutFiles(files=[LeftOutFile(name=name, why=why) for name, why in sorted(found.items())])


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
