"""Hashes of the files of a root that were read before, so that a second look at it costs a stat(2) a file.

A file counts as unchanged if device, inode, size, mtime and ctime are what they were; ctime nobody can set
back without the machine's clock. A file that was changed in the last moments before it was read could change
once more within the same tick of the file system's clock: of that no hash is kept (git does the same).
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir
from triage_tui.runs.files import can_be_made_again, read_bounded, write_atomic

MAX_CACHE_BYTES = 256 << 20
MAX_FILES = 400_000
KEPT_ROOTS = 3000
"""Roots whose hashes are kept; the longest unused go first."""
_LEAST_AGE_NS = 2_000_000_000
"""Of a file's last change before its hash is kept: the coarsest clock of a file system ticks in 2 s (FAT)."""
_LEAST_FILES = 8
"""Smaller roots are as quickly read."""


class _Known(msgspec.Struct, frozen=True, array_like=True):
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: bytes


class DigestCache:
    """The kept hashes of one root, by the paths of its files. What cannot be read is not known."""

    def __init__(self, root: Path) -> None:
        real = os.fsencode(os.path.realpath(root))
        self._path = cache_dir() / "roots" / f"{hashlib.sha256(real).hexdigest()[:32]}.digests"
        self._known: dict[str, _Known] = {}
        self._used: dict[str, _Known] = {}
        self._changed = False
        self._now_ns = time.time_ns()
        try:
            raw = read_bounded(self._path, MAX_CACHE_BYTES, whole=True)
            self._known = msgspec.msgpack.decode(raw, type=dict[str, _Known])
        except (TriageError, msgspec.DecodeError, ValueError):
            self._changed = True

    def get(self, path: str, status: os.stat_result) -> bytes | None:
        """Return the SHA-256 of a file that is as it was, None where it is not."""
        known = self._known.get(_key(path))
        if known is None or len(known.sha256) != 32 or known != _of(status, known.sha256):
            return None
        self._used[_key(path)] = known
        return known.sha256

    def put(self, path: str, status: os.stat_result, sha256: bytes) -> None:
        """Keep the SHA-256 of a file that was just read, if its change is long enough ago."""
        last = max(status.st_mtime_ns, status.st_ctime_ns)
        if last + _LEAST_AGE_NS < self._now_ns and len(self._used) < MAX_FILES:
            self._used[_key(path)] = _of(status, sha256)
            self._changed = True

    def save(self) -> None:
        """Write what is known now; a disk without room costs the next look its speed, and nothing else."""
        if len(self._used) < _LEAST_FILES or not (self._changed or len(self._used) != len(self._known)):
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with can_be_made_again():
                write_atomic(self._path, msgspec.msgpack.encode(self._used), mode=0o600)
            _drop_oldest(self._path.parent)
        except OSError:
            return


def _key(path: str) -> str:
    return os.fsencode(path).decode("latin-1")


def _of(status: os.stat_result, sha256: bytes) -> _Known:
    return _Known(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, sha256
    )


def _drop_oldest(directory: Path) -> None:
    with os.scandir(directory) as entries:
        files = [(entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in entries]
    for _, path in sorted(files)[:-KEPT_ROOTS]:
        Path(path).unlink(missing_ok=True)
