"""Root file systems by their content: a hash, a packed file that travels, and a tree made of that again.

Part of a root are its directories, regular files, symbolic links and FIFOs: names, modes, contents, targets.
Owners and times are none: a guest sees its files as its own, and an unpacked firmware has the times of its
unpacking. Devices and sockets are none either: nobody but root can make them, and a guest's cell has devices
of its own.

A packed root is a tar file (POSIX.1-2001 pax), compressed by gzip. It may come from elsewhere: it is unpacked
through directory descriptors that follow no link, and taken only if its content has the hash that was asked
for.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import threading
import zlib
from pathlib import Path

import msgspec

from triage_tui.campaign.root_cache import DigestCache
from triage_tui.campaign.root_tar import Unpacker, add_entry
from triage_tui.campaign.root_walk import HASH_VERSION, MAX_BYTES, Entry, Reading, Tell, feed
from triage_tui.errors import TriageError
from triage_tui.runs.files import sync_directory
from triage_tui.text import safe_line

_LEVEL = 1
"""Of gzip: the files of a firmware hardly get smaller by more work."""
_HEXADECIMAL = frozenset("0123456789abcdef")


class RootHash(msgspec.Struct, frozen=True):
    """The content of a root in short."""

    sha256: str
    entries: int
    bytes: int
    """Of all its files together."""


def hash_root(root: Path, *, progress: Tell | None = None, cancel: threading.Event | None = None) -> RootHash:
    """Return the hash of a root; files that did not change since the last time are not read again.

    Raises:
        TriageError: it is no directory, cannot be read, changes meanwhile, or is larger than a root can be.
        Stopped: a person cancelled.
    """
    digest = hashlib.sha256(HASH_VERSION)
    reading, cache = Reading(root, progress, cancel), DigestCache(root)
    for entry in reading.walk():
        mode = entry.status.st_mode
        size = entry.status.st_size if stat.S_ISREG(mode) else 0
        feed(digest, entry.path, mode, size, _content(reading, entry, cache))
    cache.save()
    return RootHash(digest.hexdigest(), reading.entries, reading.bytes)


def _content(reading: Reading, entry: Entry, cache: DigestCache) -> bytes:
    if stat.S_ISLNK(entry.status.st_mode):
        try:
            return os.fsencode(os.readlink(entry.name, dir_fd=entry.handle))
        except OSError as error:
            raise reading.unreadable(entry.path, error) from error
    if not stat.S_ISREG(entry.status.st_mode):
        return b""
    known = cache.get(entry.path, entry.status)
    if known is None:
        digest = hashlib.sha256()
        with reading.opened(entry) as file:
            for piece in reading.pieces(entry, file):
                digest.update(piece)
        known = digest.digest()
        cache.put(entry.path, entry.status, known)
    return known


def pack_root(
    root: Path, into: Path, *, progress: Tell | None = None, cancel: threading.Event | None = None
) -> RootHash:
    """Write a root as a packed file, whole or not at all, and return the hash of exactly what is in it.

    Raises:
        TriageError: as `hash_root`, or the file cannot be written.
        Stopped: a person cancelled.
    """
    digest = hashlib.sha256(HASH_VERSION)
    reading = Reading(root, progress, cancel)
    links: dict[tuple[int, int], tuple[str, bytes]] = {}
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{into.name}.", suffix=".tmp", dir=into.parent)
        try:
            with os.fdopen(handle, "wb") as raw:
                with (
                    gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as stream,
                    tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
                ):
                    for entry in reading.walk():
                        size, content = add_entry(archive, reading, entry, links)
                        feed(digest, entry.path, entry.status.st_mode, size, content)
                        # All members are kept otherwise, a kilobyte each.
                        archive.members.clear()  # type: ignore[attr-defined]
                raw.flush()
                os.fsync(raw.fileno())
            os.replace(name, into)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_directory(into.parent)
    except OSError as error:
        raise TriageError(
            f"{safe_line(str(root), 200)} cannot be packed into {safe_line(str(into), 200)}:"
            f" {error.strerror or error}"
        ) from error
    return RootHash(digest.hexdigest(), reading.entries, reading.bytes)


def unpack_root(
    packed: Path,
    sha256: str,
    store: Path,
    *,
    most_bytes: int = MAX_BYTES,
    progress: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Path:
    """Unpack a root below the directory `store` and return where it is: `store/SHA256/root`.

    One that is there already is not unpacked again. Nobody else can look into it, so that set-user-ID files
    of a firmware are of no use to others. `most_bytes` is what its files may have together.

    Raises:
        TriageError: the file is no packed root, is hostile, or is not the root of that hash; nothing is left.
        Stopped: a person cancelled; nothing is left.
    """
    if len(sha256) != 64 or not set(sha256) <= _HEXADECIMAL:
        raise TriageError(f"{safe_line(sha256, 80)!r} is no hash of a root file system")
    place = store / sha256
    if (place / "root").is_dir():
        return place / "root"
    shown = safe_line(str(packed), 300)
    staging: Path | None = None
    held = -1
    try:
        store.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".tmp-", dir=store))
        # It ends with this process: what is not locked was left by one that was killed.
        held = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_SH)
        tree = staging / "root"
        tree.mkdir(mode=0o700)
        found = Unpacker(tree, most_bytes, progress, cancel).unpack(packed)
        if found != sha256:
            raise TriageError(f"{shown} is not the root file system that was asked for: its content differs")
        try:
            os.rename(staging, place)
        except OSError:
            # Another process was quicker: what it put there has the same hash.
            if not (place / "root").is_dir():
                raise
    except OSError as error:
        raise TriageError(f"{shown} cannot be unpacked: {error.strerror or error}") from error
    except (tarfile.TarError, zlib.error, EOFError, ValueError, RecursionError) as error:
        raise TriageError(f"{shown} is no packed root file system: {safe_line(str(error), 160)}") from error
    finally:
        if staging is not None:
            remove_tree(staging)
        if held >= 0:
            os.close(held)
    return place / "root"


def remove_tree(tree: Path) -> None:
    """Remove an unpacked root, whose directories may forbid it; one that is not there is fine."""
    for directory, names, _ in os.walk(tree):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(tree, ignore_errors=True)
