"""The tar file of a packed root: one entry of a root into it, and a whole one out of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from triage_tui.campaign.root_walk import (
    HASH_VERSION,
    MAX_DEPTH,
    MAX_ENTRIES,
    PIECE,
    Entry,
    Reading,
    Tell,
    feed,
)
from triage_tui.errors import Stopped
from triage_tui.text import safe_line

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_READ = 2 * PIECE
"""Bytes that tarfile may ask for at once: a header that claims to be longer is a bomb."""
_BESIDES = 4096
"""Bytes of a tar file besides the content of a file: headers, and zeros to the next block."""
_KEPT = 1024
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


def add_entry(
    archive: tarfile.TarFile, reading: Reading, entry: Entry, links: dict[tuple[int, int], tuple[str, bytes]]
) -> tuple[int, bytes]:
    """Add an entry to a tar file; return the size and the content in short that its hash is made of.

    `links` holds the files with several names that are in the tar file, by device and inode.
    """
    member = tarfile.TarInfo(entry.path or ".")
    member.mode = stat.S_IMODE(entry.status.st_mode)
    member.mtime = int(entry.status.st_mtime)
    mode, inode = entry.status.st_mode, (entry.status.st_dev, entry.status.st_ino)
    if stat.S_ISREG(mode):
        if inode in links:
            member.type = tarfile.LNKTYPE
            member.linkname, content = links[inode]
            archive.addfile(member)
            return entry.status.st_size, content
        member.size = entry.status.st_size
        with reading.opened(entry) as file:
            source = _Hashed(reading.pieces(entry, file))
            # tarfile asks for exactly this many bytes.
            archive.addfile(member, io.BufferedReader(source, PIECE))
        content = source.digest()
        if entry.status.st_nlink > 1:
            links[inode] = entry.path, content
        return entry.status.st_size, content
    content = b""
    if stat.S_ISLNK(mode):
        member.type = tarfile.SYMTYPE
        member.linkname = os.readlink(entry.name, dir_fd=entry.handle)
        content = os.fsencode(member.linkname)
    else:
        member.type = tarfile.DIRTYPE if stat.S_ISDIR(mode) else tarfile.FIFOTYPE
    archive.addfile(member)
    return 0, content


class _Hashed(io.RawIOBase):
    """A stream of pieces that hashes what is read of it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._digest.update(piece)
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def digest(self) -> bytes:
        return self._digest.digest()


class Unpacker:
    """Unpacks one packed root into an empty directory of ours."""

    def __init__(
        self, tree: Path, most_bytes: int, progress: Tell | None, cancel: threading.Event | None
    ) -> None:
        self._tree = tree
        self._most_bytes = most_bytes
        self._progress = progress
        self._cancel = cancel
        self._hash = hashlib.sha256(HASH_VERSION)
        self._bytes = 0
        self._files: dict[str, tuple[int, bytes]] = {}
        """Size and content in short of each file: a hard link has those of another name."""
        self._modes: list[tuple[str, int]] = []
        """Of directories: they are set when all is in them."""

    def unpack(self, packed: Path) -> str:
        """Unpack and return the hash of the content.

        Raises:
            OSError: a file cannot be read or written.
            ValueError, EOFError, tarfile.TarError, zlib.error: it is no packed root, or a hostile one.
            Stopped: a person cancelled.
        """
        handle = os.open(packed, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        top = os.open(self._tree, _DIRECTORY_FLAGS)
        try:
            with os.fdopen(handle, "rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise ValueError("it is no regular file")
                forward = _Forward(cast("IO[bytes]", stream), self._most_bytes + _BESIDES * MAX_ENTRIES)
                with tarfile.open(
                    fileobj=cast("IO[bytes]", forward), mode="r:", format=tarfile.PAX_FORMAT
                ) as archive:
                    for count, member in enumerate(iter(archive.next, None)):
                        if count > MAX_ENTRIES:
                            raise ValueError(f"it holds more than {MAX_ENTRIES} files")
                        self._check(count)
                        self._take(archive, member, top)
                        archive.members.clear()  # type: ignore[attr-defined]
            for path, mode in reversed(self._modes):
                self._set_mode(top, path, mode)
        finally:
            os.close(top)
        return self._hash.hexdigest()

    def _check(self, count: int) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Stopped("unpacking a root file system was cancelled")
        if self._progress is not None and count % 5000 == 4999:
            self._progress(f"unpacking: {count + 1} files, {self._bytes >> 20} MiB")

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo, top: int) -> None:
        path = "" if member.name == "." else member.name
        mode = member.mode & 0o7777
        if not path:
            if not member.isdir():
                raise ValueError("it does not begin with a directory")
            feed(self._hash, "", stat.S_IFDIR, 0, b"")
            return
        parts = _parts(path)
        parent = self._open(top, parts[:-1])
        name = parts[-1]
        try:
            if member.isdir():
                os.mkdir(name, 0o700, dir_fd=parent)
                self._modes.append((path, mode))
                feed(self._hash, path, stat.S_IFDIR | mode, 0, b"")
            elif member.issym():
                if not member.linkname:
                    raise ValueError("it holds a link that leads nowhere")
                os.symlink(member.linkname, name, dir_fd=parent)
                feed(self._hash, path, stat.S_IFLNK, 0, os.fsencode(member.linkname))
            elif member.islnk():
                self._link(member, top, parent, path, name, mode)
            elif member.isfifo():
                os.mkfifo(name, 0o600, dir_fd=parent)
                os.chmod(name, mode, dir_fd=parent)
                feed(self._hash, path, stat.S_IFIFO | mode, 0, b"")
            elif member.type in _PLAIN and not member.issparse():
                self._file(archive, member, parent, path, name, mode)
            else:
                raise ValueError(f"it holds {safe_line(path, 80)}, which is neither file, directory nor link")
        except FileExistsError:
            raise ValueError(f"it names {safe_line(path, 80)} twice") from None
        finally:
            os.close(parent)

    def _file(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, path: str, name: str, mode: int
    ) -> None:
        self._bytes += member.size
        if member.size < 0 or self._bytes > self._most_bytes:
            raise ValueError(f"its files have more than {self._most_bytes} bytes together")
        source = archive.extractfile(member)
        digest, left = hashlib.sha256(), member.size
        with os.fdopen(os.open(name, _NEW_FILE_FLAGS, 0o600, dir_fd=parent), "wb", buffering=0) as out:
            while left and source is not None and (piece := source.read(min(PIECE, left))):
                if self._cancel is not None and self._cancel.is_set():
                    raise Stopped("unpacking a root file system was cancelled")
                digest.update(piece)
                left -= len(piece)
                if piece.count(0) == len(piece):
                    # What was a hole there becomes one again.
                    out.seek(len(piece), os.SEEK_CUR)
                    continue
                while piece:
                    piece = piece[out.write(piece) :]
            if left:
                raise ValueError(f"it is cut off inside of {safe_line(path, 80)}")
            out.truncate(member.size)
            os.fchmod(out.fileno(), mode)
        self._files[path] = member.size, digest.digest()
        feed(self._hash, path, stat.S_IFREG | mode, *self._files[path])

    def _link(self, member: tarfile.TarInfo, top: int, parent: int, path: str, name: str, mode: int) -> None:
        known = self._files.get(member.linkname)
        if known is None:
            raise ValueError(f"{safe_line(path, 80)} is a hard link to what is no file before it")
        parts = _parts(member.linkname)
        source = self._open(top, parts[:-1])
        try:
            os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)
        self._files[path] = known
        feed(self._hash, path, stat.S_IFREG | mode, *known)

    def _open(self, top: int, parts: list[str]) -> int:
        """Open a directory of the tree; no part of the way may be a link."""
        handle = os.dup(top)
        try:
            for part in parts:
                further = os.open(part, _DIRECTORY_FLAGS, dir_fd=handle)
                os.close(handle)
                handle = further
        except OSError as error:
            os.close(handle)
            raise ValueError(
                f"{safe_line('/'.join(parts), 80)} is no directory of it ({error.strerror})"
            ) from None
        return handle

    def _set_mode(self, top: int, path: str, mode: int) -> None:
        handle = self._open(top, _parts(path))
        try:
            os.fchmod(handle, mode)
        finally:
            os.close(handle)


def _parts(path: str) -> list[str]:
    """Return the parts of a name of a tar file.

    Raises:
        ValueError: it is no plain relative path.
    """
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") or len(os.fsencode(part)) > 255 for part in parts):
        raise ValueError(f"it names {safe_line(path, 80)!r}, which is no plain path below a root")
    if len(parts) > MAX_DEPTH + 2:
        raise ValueError(f"it is nested more than {MAX_DEPTH} directories deep")
    return parts


class _Forward:
    """A compressed stream as tarfile wants it: it goes forward, and back by a few bytes.

    A header that claims to be large is not read into memory, and no more than `most` bytes come of it.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._most = most
        self._at = 0
        self._read = 0
        self._tail = b""

    def tell(self) -> int:
        return self._at

    def seek(self, to: int, whence: int = 0) -> int:
        if whence != 0 or to < self._read - len(self._tail):
            raise ValueError("its headers lead back")
        while to > self._read:
            if not self._next(min(PIECE, to - self._read)):
                break
        self._at = min(to, self._read)
        return self._at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_READ:
            raise ValueError("a header of it is larger than any header")
        back = self._read - self._at
        found = self._tail[len(self._tail) - back :][:size] if back else b""
        self._at += len(found)
        while len(found) < size and (piece := self._next(size - len(found))):
            found += piece
            self._at = self._read
        return found

    def _next(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._read += len(piece)
        if self._read > self._most:
            raise ValueError("more comes of it than a root file system has")
        self._tail = (self._tail + piece)[-_KEPT:]
        return piece
