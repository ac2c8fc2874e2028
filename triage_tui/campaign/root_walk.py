"""The entries of a root file system one after the other, bounded, and what of them counts for its hash."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from triage_tui.errors import Stopped, TriageError
from triage_tui.text import safe_line

MAX_ENTRIES = 400_000
"""Files, directories and links of one root."""
MAX_BYTES = 16 << 30
"""Bytes of all its files together."""
MAX_DEPTH = 120
HASH_VERSION = b"triage-tui root 1\n"
PIECE = 1 << 20
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LETTERS = {stat.S_IFREG: b"f", stat.S_IFDIR: b"d", stat.S_IFLNK: b"l", stat.S_IFIFO: b"p"}

Tell = Callable[[str], None]


class Entry(msgspec.Struct):
    """One name of a root, while it is walked."""

    path: str
    """Relative to the root, "" for the root itself."""
    name: str
    status: os.stat_result
    handle: int
    """The directory that holds it."""


class Reading:
    """Walks a root once: counts, tells how far it is, and stops when a person wants it to."""

    def __init__(self, root: Path, progress: Tell | None, cancel: threading.Event | None) -> None:
        self._root = root
        self._progress = progress
        self._cancel = cancel
        self.entries = 0
        self.bytes = 0

    def walk(self) -> Iterator[Entry]:
        """Yield what is part of a root, a directory before what it holds, names in the order of their bytes.

        Raises:
            TriageError: a directory cannot be read, or there is too much.
            Stopped: a person cancelled.
        """
        try:
            top = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise TriageError(
                f"the root file system {self.place('')} cannot be read: {error.strerror}"
            ) from error
        try:
            yield Entry("", "", os.fstat(top), top)
            yield from self._inside(top, "", 0)
        finally:
            os.close(top)

    def _inside(self, handle: int, path: str, depth: int) -> Iterator[Entry]:
        if depth > MAX_DEPTH:
            raise TriageError(
                f"{self.place(path)} is nested more than {MAX_DEPTH} directories deep: this is no root file"
                " system"
            )
        try:
            names = sorted(os.listdir(handle), key=os.fsencode)
        except OSError as error:
            raise self.unreadable(path, error) from error
        for name in names:
            inner = f"{path}/{name}" if path else name
            try:
                status = os.stat(name, dir_fd=handle, follow_symlinks=False)
            except OSError as error:
                raise self.unreadable(inner, error) from error
            if stat.S_IFMT(status.st_mode) not in _LETTERS:
                continue
            self._count(status)
            yield Entry(inner, name, status, handle)
            if stat.S_ISDIR(status.st_mode):
                try:
                    further = os.open(name, _DIRECTORY_FLAGS, dir_fd=handle)
                except OSError as error:
                    raise self.unreadable(inner, error) from error
                try:
                    yield from self._inside(further, inner, depth + 1)
                finally:
                    os.close(further)

    def _count(self, status: os.stat_result) -> None:
        self.check()
        self.entries += 1
        self.bytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
        if self.entries > MAX_ENTRIES or self.bytes > MAX_BYTES:
            raise TriageError(
                f"{self.place('')} holds more than {MAX_ENTRIES} files or {MAX_BYTES >> 30} GiB:"
                " name one root file system, not a directory of several"
            )
        if self._progress is not None and self.entries % 5000 == 0:
            self._progress(f"{self.place('')}: {self.entries} files, {self.bytes >> 20} MiB")

    def check(self) -> None:
        """Stop if a person cancelled.

        Raises:
            Stopped: so it is.
        """
        if self._cancel is not None and self._cancel.is_set():
            raise Stopped(f"reading {self.place('')} was cancelled")

    def place(self, path: str) -> str:
        """Return where an entry is, to be shown."""
        return safe_line(f"{self._root}/{path}" if path else str(self._root), 300)

    def unreadable(self, path: str, error: OSError) -> TriageError:
        """Return what is raised for an entry that cannot be read."""
        what = "; make the tree your own (chown -R)" if error.errno in (errno.EACCES, errno.EPERM) else ""
        return TriageError(f"{self.place(path)} cannot be read: {error.strerror}{what}")

    @contextlib.contextmanager
    def opened(self, entry: Entry) -> Iterator[IO[bytes]]:
        """Open a file of the root: exactly the one that was looked at.

        Raises:
            TriageError: it is another one by now, or cannot be read.
        """
        try:
            handle = os.open(entry.name, _FILE_FLAGS, dir_fd=entry.handle)
        except OSError as error:
            raise self.unreadable(entry.path, error) from error
        with os.fdopen(handle, "rb", buffering=0) as file:
            now, then = os.fstat(handle), entry.status
            if (now.st_dev, now.st_ino, now.st_size) != (then.st_dev, then.st_ino, then.st_size):
                raise self._changed(entry)
            yield file

    def _changed(self, entry: Entry) -> TriageError:
        return TriageError(f"{self.place(entry.path)} changed while it was read: try again")

    def pieces(self, entry: Entry, file: IO[bytes]) -> Iterator[bytes]:
        """Yield a file's content, of exactly the size that it had.

        Raises:
            TriageError: it has another one by now, or cannot be read.
            Stopped: a person cancelled.
        """
        left = entry.status.st_size
        while left:
            self.check()
            try:
                piece = file.read(min(PIECE, left))
            except OSError as error:
                raise self.unreadable(entry.path, error) from error
            if not piece:
                raise self._changed(entry)
            left -= len(piece)
            yield piece


def feed(digest: hashlib._Hash, path: str, mode: int, size: int, content: bytes) -> None:
    """Add one entry to a root's hash: its kind, mode, size and path, and its content in short.

    `content` is the SHA-256 of a file or the target of a link, empty for the others.
    """
    name = os.fsencode(path)
    letter = _LETTERS[stat.S_IFMT(mode)]
    # A link has no mode of its own; that of the root directory is the unpacker's.
    permissions = 0 if letter == b"l" or not path else stat.S_IMODE(mode)
    digest.update(b"%s %o %d %d %d\0" % (letter, permissions, size, len(name), len(content)))
    digest.update(name + b"\0" + content)
