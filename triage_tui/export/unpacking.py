"""Take a bundle back into a workspace. A bundle comes from elsewhere: names, sizes and hashes are checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import msgspec

from triage_tui.errors import TriageError
from triage_tui.export.bundle import (
    MAX_BUNDLE_BYTES,
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_FILES,
    PLAIN_NAME,
    RUNS,
    unwanted,
)
from triage_tui.export.manifest import BUNDLE_SCHEMA_VERSION, MANIFEST_FILE, BundleFile, Manifest
from triage_tui.export.placing import make_directory
from triage_tui.runs.files import inside, sync_directory
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.writer import ENVIRONMENT_FILE, SNAPSHOT_FILE
from triage_tui.text import safe_line

MAX_MANIFEST_BYTES = 8 << 20
MAX_DIRECTORY_BYTES = 4 << 20
"""Of the list of files at the end of a zip file."""
_BLOCK = 1 << 20
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE, _LOCATOR_SIGNATURE = b"PK\x05\x06", b"PK\x06\x07"
_LOCATOR = 20
"""Bytes of what stands before the end in a zip file whose numbers need 64 bits."""


def unpack_bundle(path: Path, workspace: Path) -> tuple[str, Manifest]:
    """Put the run of the bundle `path` into a workspace; return its id and the manifest.

    Raises:
        TriageError: it is no bundle, is damaged or hostile, or the workspace has a run of that id.
    """
    shown = safe_line(str(path), 300)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise TriageError(f"{shown} is no regular file")
            _check_directory(stream, shown)
            return _unpack(stream, shown, workspace)
    except OSError as error:
        raise TriageError(f"{shown} cannot be imported: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise TriageError(f"{shown} is no bundle that can be read: {safe_line(str(error), 120)}") from error


def _unpack(stream: BinaryIO, shown: str, workspace: Path) -> tuple[str, Manifest]:
    with zipfile.ZipFile(stream) as archive:
        if len(archive.infolist()) > MAX_FILES + 1:
            raise TriageError(f"{shown} holds more than {MAX_FILES} files")
        manifest = _manifest(archive, shown)
        prefix = f"{RUNS}/{manifest.run_id}/"
        names = [entry.name for entry in manifest.files]
        for name in names:
            inner = name.removeprefix(prefix)
            # Among others no start.json: by that a retry would run what the sender wants.
            if not name.startswith(prefix) or not _is_plain(inner) or unwanted(inner, {inner}, True):
                raise TriageError(f"{shown} names a file {safe_line(name, 120)!r}, which was refused")
        if prefix + SNAPSHOT_FILE not in names:
            raise TriageError(f"{shown} has no {SNAPSHOT_FILE}: it holds no run")
        if len(set(names)) != len(names):
            raise TriageError(f"{shown} names a file twice")
        if any(not 0 <= entry.size <= MAX_FILE_BYTES for entry in manifest.files):
            raise TriageError(f"{shown} holds a file of more than {MAX_FILE_BYTES} bytes")
        if sum(entry.size for entry in manifest.files) > MAX_BUNDLE_BYTES:
            raise TriageError(f"{shown} holds more than {MAX_BUNDLE_BYTES} bytes")
        target = workspace / RUNS / manifest.run_id
        make_directory(workspace / RUNS)
        if os.path.lexists(target):
            raise TriageError(f"the workspace has a run {manifest.run_id} already, so nothing was imported")
        staging = workspace / RUNS / f".tmp-{manifest.run_id}"
        try:
            staging.mkdir()
        except FileExistsError:
            raise TriageError(f"run {manifest.run_id} is being written here just now") from None
        try:
            for entry in manifest.files:
                _extract(archive, entry, inside(staging, entry.name.removeprefix(prefix)), shown)
            # Fails when somebody was quicker: a directory with something in it is never replaced.
            os.rename(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        sync_directory(workspace / RUNS)
    return manifest.run_id, manifest


def _check_directory(stream: BinaryIO, shown: str) -> None:
    """Look at the end of a zip file, before its list of files is read into memory as it says.

    Raises:
        TriageError: the list is larger than a bundle's can be.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END.size - 0xFFFF - _LOCATOR))
    tail = stream.read()
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise TriageError(f"{shown} is no zip file")
    length = _END.unpack_from(tail, at)[5]
    if length > MAX_DIRECTORY_BYTES or tail[max(0, at - _LOCATOR) :].startswith(_LOCATOR_SIGNATURE):
        raise TriageError(f"{shown} lists more files than a bundle holds")
    stream.seek(0)


def _manifest(archive: zipfile.ZipFile, shown: str) -> Manifest:
    try:
        with archive.open(MANIFEST_FILE) as stream:
            raw = stream.read(MAX_MANIFEST_BYTES + 1)
    except KeyError:
        raise TriageError(f"{shown} has no {MANIFEST_FILE}: it is no bundle of triage-tui") from None
    if len(raw) > MAX_MANIFEST_BYTES:
        raise TriageError(f"the manifest of {shown} is too large")
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = safe_line(str(error), 120)
        raise TriageError(f"the manifest of {shown} cannot be read: {why}") from error
    if manifest.schema_version > BUNDLE_SCHEMA_VERSION:
        raise TriageError(f"{shown} was written by a newer version ({safe_line(manifest.written_by, 60)})")
    if not is_run_id(manifest.run_id):
        raise TriageError(f"{shown} names a run {safe_line(manifest.run_id, 60)!r}, which is no run id")
    return manifest


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return len(parts) <= MAX_DEPTH + 1 and all(PLAIN_NAME.match(part) for part in parts)


def _extract(archive: zipfile.ZipFile, entry: BundleFile, path: Path, shown: str) -> None:
    """Write one file, no more of it than the manifest says, and compare its hash."""
    name = safe_line(entry.name, 120)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), entry.size
    private = path.name == ENVIRONMENT_FILE
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600 if private else 0o644)
    with os.fdopen(handle, "wb") as out:
        try:
            with archive.open(entry.name) as stream:
                while data := stream.read(min(_BLOCK, left + 1)):
                    left -= len(data)
                    if left < 0:
                        break
                    digest.update(data)
                    out.write(data)
        except KeyError:
            raise TriageError(f"{name} is not in {shown}, though its manifest says so") from None
        with contextlib.suppress(OSError):
            os.fsync(out.fileno())
    if left or digest.hexdigest() != entry.sha256:
        raise TriageError(f"{name} in {shown} is not what its manifest says: nothing was imported")
