"""An index of summaries on the disk, so that ten thousand runs open without being read again.

What it holds of a run counts only as long as the files that the summary was made from are the very same:
their inodes, sizes and times of change agree to the nanosecond. The time of change (ctime) cannot be set back
by a program. Files that changed in the last seconds before they were read are not kept at all, because a
further change within one tick of the file system's clock would not show.

The index lies in the cache directory of the person, never beside the runs: those may be read-only, and may
come from somebody whose index would not be believed. It is replaced as a whole by one rename. Whatever is
wrong with it (another version, a damaged byte, another owner) is as if it were not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs import events, form, listing, stories
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.runs.listing import SOURCES, RunSummary

MAX_BYTES = 64 << 20
MAX_INDEXES = 50
"""Indexes that are kept, those used last."""
SETTLED_NS = 3_000_000_000
"""How long files must have been as they are before what was read of them is kept. The coarsest file systems
count in steps of two seconds."""

_MAGIC = b"triage-tui runs, form 1\n"
_DIGEST = 32
_STAMP = struct.Struct("=Q" + "Qqqq" * len(SOURCES))
STAMP = _STAMP.size
"""Bytes of a stamp."""
_ABSENT = (0, 0, 0, 0)
_FIRST, _SECOND, _THIRD = SOURCES


class Signature(NamedTuple):
    """The files of a run at one moment."""

    stamp: bytes
    """Inode, size, mtime and ctime of each; equal stamps mean the same content."""
    changed_ns: int
    """When the last of them changed, in nanoseconds of the system's clock."""
    readable: bool
    """False when one of them is no plain file, or could not be looked at: then nothing may be concluded."""


class Kept(NamedTuple):
    """What is known of one run."""

    stamp: bytes
    summary: RunSummary


class Index(NamedTuple):
    """What an index holds."""

    digest: bytes = b""
    """That of the file; nothing when there is none."""
    runs: Mapping[str, Kept] = {}


class _Document(msgspec.Struct, array_like=True):
    made_by: list[int | str]
    stamps: bytes
    """The stamps of all entries, one behind the other."""
    summaries: list[RunSummary]


_decoder = msgspec.msgpack.Decoder(_Document)
_encoder = msgspec.msgpack.Encoder()


def sign(runs_fd: int, name: str, inode: int) -> Signature:
    """Look at the files of the run `name`, a directory with that inode, below an open directory of runs."""
    numbers, changed, readable = [inode], 0, True
    for file in SOURCES:
        try:
            found = os.stat(f"{name}/{file}", dir_fd=runs_fd, follow_symlinks=False)
        except FileNotFoundError:
            numbers += _ABSENT
            continue
        except OSError:
            return Signature(b"", 0, False)
        readable = readable and stat.S_ISREG(found.st_mode)
        numbers += (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        changed = max(changed, found.st_mtime_ns, found.st_ctime_ns)
    return Signature(_STAMP.pack(*numbers), changed, readable)


def same(runs_fd: int, name: str, inode: int, stamp: bytes) -> bool:
    """Tell whether the files of a run are those of `stamp`: what `sign` does, for ten thousand runs."""
    look = os.stat
    try:
        a = look(f"{name}/{_FIRST}", dir_fd=runs_fd, follow_symlinks=False)
        b = look(f"{name}/{_SECOND}", dir_fd=runs_fd, follow_symlinks=False)
        c = look(f"{name}/{_THIRD}", dir_fd=runs_fd, follow_symlinks=False)
    except OSError:
        return sign(runs_fd, name, inode).stamp == stamp
    return stamp == _STAMP.pack(
        inode,
        *(a.st_ino, a.st_size, a.st_mtime_ns, a.st_ctime_ns),
        *(b.st_ino, b.st_size, b.st_mtime_ns, b.st_ctime_ns),
        *(c.st_ino, c.st_size, c.st_mtime_ns, c.st_ctime_ns),
    )


def load_index(path: Path, runs_dir: Path) -> Index:
    """Return what is kept of the runs of a directory; nothing when it cannot be believed."""
    try:
        _refuse_foreign(path)
        raw = read_bounded(path, MAX_BYTES, whole=True)
    except (TriageError, OSError):
        return Index()
    head = len(_MAGIC) + _DIGEST
    body = memoryview(raw)[head:]
    if not raw.startswith(_MAGIC) or hashlib.sha256(body).digest() != raw[len(_MAGIC) : head]:
        return Index()
    try:
        found = _decoder.decode(body)
        if found.made_by != _maker(runs_dir) or len(found.stamps) != STAMP * len(found.summaries):
            return Index()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OSError):
        return Index()
    stamps = found.stamps
    runs = {
        summary.run_id: Kept(stamps[at : at + STAMP], summary)
        for at, summary in zip(range(0, len(stamps), STAMP), found.summaries, strict=True)
    }
    return Index(raw[len(_MAGIC) : head], runs)


def save_index(path: Path, runs_dir: Path, entries: Iterable[Kept]) -> bool:
    """Keep entries for the next time; False when that is not possible."""
    entries = list(entries)
    try:
        body = _encoder.encode(
            _Document(_maker(runs_dir), b"".join(e.stamp for e in entries), [e.summary for e in entries])
        )
        if len(body) > MAX_BYTES - len(_MAGIC) - _DIGEST:
            return False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, _MAGIC + hashlib.sha256(body).digest() + body, mode=0o600)
    except (OSError, UnicodeEncodeError):
        return False
    _forget_oldest(path.parent)
    return True


def _maker(runs_dir: Path) -> list[int | str]:
    """Return what an index belongs to: a directory, and the code that made the summaries."""
    place = os.stat(runs_dir)
    made_by: list[int | str] = [place.st_dev, place.st_ino, *RunSummary.__struct_fields__]
    for module in (listing, events, form, stories):
        with contextlib.suppress(OSError, TypeError):
            code = os.stat(str(module.__file__))
            made_by += [code.st_mtime_ns, code.st_size]
    return made_by


def _refuse_foreign(path: Path) -> None:
    """Refuse an index that somebody else could have written.

    Raises:
        TriageError: it belongs to somebody else, or others may write it.
        OSError: it is not there.
    """
    found = os.lstat(path)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TriageError("the index of runs belongs to somebody else")


def _forget_oldest(directory: Path) -> None:
    with contextlib.suppress(OSError), os.scandir(directory) as found:
        indexes = [
            (e.stat(follow_symlinks=False).st_mtime_ns, e.path) for e in found if e.name.endswith(".index")
        ]
        for _, path in sorted(indexes)[:-MAX_INDEXES]:
            os.unlink(path)
