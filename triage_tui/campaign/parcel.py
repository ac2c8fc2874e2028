"""The place of a target as one parcel of bytes, for the way from a worker elsewhere; unpacked with distrust.

A parcel is a zip file (APPNOTE.TXT of PKWARE) of plain files: what lies in `ai_runs/` and `rulebook/` of a
place. Names, sizes and numbers are bounded as in a bundle; there are no links in it: the pointer to the
active generation of rules travels as a file that holds what it leads to, and must lead to a generation.
How a target is started is never taken from a parcel: by that, a retry would run what the sender wants.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.campaign.model import Options, Target
from triage_tui.campaign.order import Answer, encode
from triage_tui.campaign.place import ANSWER_FILE, POINTER
from triage_tui.campaign.starting import start_of
from triage_tui.errors import TriageError
from triage_tui.export.bundle import MAX_BUNDLE_BYTES, MAX_FILE_BYTES, PLAIN_NAME
from triage_tui.retry.start import START_FILE, write_start
from triage_tui.runs.files import inside, read_bounded, write_atomic
from triage_tui.runs.form import MAX_SNAPSHOT_BYTES, SNAPSHOT_FILE
from triage_tui.runs.ids import is_run_id
from triage_tui.text import safe_line

MAX_FILES = 16384
"""Of a parcel: the runs of one target, and its rules."""
MAX_DEPTH = 10
_TOPS = ("ai_runs", "rulebook")
_LINK = re.compile(rb"generations/[0-9]{4,9}")
_HIDDEN = (".audit", ".statistics")
"""Directories of the rulebook whose names begin with a dot and that travel."""
_PRIVATE = frozenset((START_FILE, "environment.json"))
_BLOCK = 1 << 20


def pack(place: Path) -> bytes:
    """Return what lies in a place as a parcel.

    Raises:
        TriageError: it is larger than a parcel can be.
        OSError: it cannot be read.
    """
    into = io.BytesIO()
    left, count = MAX_BUNDLE_BYTES, 0
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in _files(place):
            count += 1
            if name.rpartition("/")[2] == START_FILE:
                continue
            data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            left -= len(data)
            if left < 0 or count > MAX_FILES:
                raise TriageError(f"its runs are larger than the {MAX_BUNDLE_BYTES} bytes that can travel")
            archive.writestr(name, data)
    return into.getvalue()


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names in a place of what travels, and where it lies."""
    for top in _TOPS:
        for where, directories, names in os.walk(place / top):
            relative = Path(where).relative_to(place)
            directories[:] = sorted(name for name in directories if name[0] != "." or name in _HIDDEN)
            links = [name for name in directories if os.path.islink(os.path.join(where, name))]
            for name in sorted({*(name for name in names if name[0] != "."), *links}):
                path = Path(where, name)
                if path.is_symlink() != (name == POINTER and len(relative.parts) == 2):
                    continue
                yield f"{relative}/{name}", path


def unpack(answer: Answer, place: Path, target: Target, options: Options) -> None:
    """Make `place` what the parcel of an answer holds, whole or not at all, with the answer itself.

    The start of each run is that of `target`.

    Raises:
        TriageError: it is no parcel, is damaged or hostile, or holds more than one may.
        OSError: the place cannot be written.
    """
    staging = place.with_name(f".{place.name}")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True, mode=0o700)
        try:
            with zipfile.ZipFile(io.BytesIO(answer.parcel)) as archive:
                _extract(archive, staging)
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
            ValueError,
        ) as error:
            raise TriageError(
                f"a worker sent a parcel that cannot be read: {safe_line(str(error), 120)}"
            ) from None
        for run_dir in sorted((staging / "ai_runs").iterdir()) if (staging / "ai_runs").is_dir() else ():
            if not is_run_id(run_dir.name) or not run_dir.is_dir():
                raise TriageError(f"a worker sent {safe_line(run_dir.name, 60)!r} where runs are expected")
            _come_home(run_dir, target, options)
        write_atomic(staging / ANSWER_FILE, encode(msgspec.structs.replace(answer, parcel=b"")))
        shutil.rmtree(place, ignore_errors=True)
        os.rename(staging, place)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _extract(archive: zipfile.ZipFile, staging: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise TriageError(f"a worker sent more than {MAX_FILES} files of one target")
    left = MAX_BUNDLE_BYTES
    for entry in entries:
        name = entry.filename
        if not _is_allowed(name):
            raise TriageError(f"a worker sent a file {safe_line(name, 120)!r}, which was refused")
        left -= entry.file_size
        if entry.file_size > MAX_FILE_BYTES or left < 0:
            raise TriageError(f"a worker sent more than {MAX_BUNDLE_BYTES} bytes of one target")
        path = inside(staging, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == POINTER and path.parent.parent.name == "rulebook":
            with archive.open(entry) as stream:
                link = stream.read(64)
            if not _LINK.fullmatch(link):
                raise TriageError("a worker sent a pointer to rules that leads to no generation")
            os.symlink(link.decode("ascii"), path)
            continue
        _write(archive, entry, path)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Write one file, no more of it than its entry says."""
    mode = 0o600 if path.name in _PRIVATE else 0o644
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    left = entry.file_size
    with os.fdopen(handle, "wb") as out, archive.open(entry) as stream:
        while data := stream.read(min(_BLOCK, left + 1)):
            left -= len(data)
            if left < 0:
                raise TriageError("a worker sent a file that is longer than it says")
            out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _is_allowed(name: str) -> bool:
    parts = name.split("/")
    if not 3 <= len(parts) <= MAX_DEPTH or parts[0] not in _TOPS or parts[-1] == START_FILE:
        return False
    hidden = parts[0] == "rulebook" and parts[1] in _HIDDEN
    return all(PLAIN_NAME.match(part) for part in (parts[2:] if hidden else parts[1:]))


def _come_home(run_dir: Path, target: Target, options: Options) -> None:
    """Have a run name the root file system of this machine, and how its target is started here."""
    path = run_dir / SNAPSHOT_FILE
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ValueError
        snapshot: Any = json.loads(read_bounded(path, MAX_SNAPSHOT_BYTES, whole=True))
        snapshot["target"]["rootfs"] = target.root
        text = json.dumps(snapshot, indent=1)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise TriageError(
            f"a worker sent run {run_dir.name} without a {SNAPSHOT_FILE} that can be read"
        ) from None
    write_atomic(path, text + "\n")
    write_start(run_dir, start_of(target, options))
