"""Files of guest memory inside a run: written block by block, read by address without loading them.

A file holds the extents of one region one after the other (`MemoryRegion`). Each MiB of it has a hash of its
own, so that a reader can check the little that it reads.
"""

from __future__ import annotations

import hashlib
import os
import stat
from bisect import bisect_right
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.runs.files import inside
from triage_tui.runs.memory_model import FileExtent, MemoryExtent, MemoryRegion
from triage_tui.text import safe_line

BLOCK = 1 << 20
"""Bytes that one hash is of."""
MAX_READ = 1 << 20
"""Most bytes that one read returns."""
MAX_COMPARED = 1 << 30
"""Most bytes of a guest's file that are read to see whether it is still the same."""
_LARGEST_PAGE = 1 << 16


class BlockWriter:
    """Writes one file in blocks of `BLOCK` bytes and hashes them on the way; owner-readable only.

    The file comes into being with its first block. Any method may raise OSError; then `discard` it.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._path = inside(directory, name)
        self._block = bytearray(BLOCK)
        self._used = 0
        self._handle = -1
        self.size = 0
        self.hashes: list[str] = []

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self.size += len(data)
        while data:
            count = min(len(data), BLOCK - self._used)
            self._block[self._used : self._used + count] = data[:count]
            self._used += count
            data = data[count:]
            if self._used == BLOCK:
                self._flush()

    def _flush(self) -> None:
        if self._handle < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._handle = os.open(self._path, flags, 0o600)
        block = memoryview(self._block)[: self._used]
        self.hashes.append(hashlib.sha256(block).hexdigest())
        while block:
            block = block[os.write(self._handle, block) :]
        self._used = 0

    def finish(self) -> None:
        """Write the rest and have all of it on the disk."""
        if self._used:
            self._flush()
        if self._handle >= 0:
            os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1

    def discard(self) -> None:
        """Remove the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._path.unlink(missing_ok=True)


class RegionReader:
    """Reads one region of a run by guest address; the file is opened when it is first needed."""

    def __init__(self, run_dir: Path, region: MemoryRegion, root: Path) -> None:
        self._dir = run_dir
        self._root = root
        self._checked: set[int] = set()
        self._same: dict[int, tuple[int, ...]] = {}
        """Address of a piece that is that of a guest's file: the file's state when that was found true."""
        self.region = region
        self._pieces: list[MemoryExtent | FileExtent] = sorted(
            [*region.extents, *region.files], key=lambda piece: piece.addr
        )
        self._starts = [piece.addr for piece in self._pieces]

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at a guest address, less at the end of the region, at most MAX_READ.

        Raises:
            TriageError: the bytes were not kept, or what was kept is missing or was changed.
        """
        region = self.region
        end = min(address + min(size, MAX_READ), region.end)
        if not region.start <= address < end:
            raise TriageError(f"{address:#x} is not in {safe_line(region.name, 80)}")
        found = bytearray()
        while address < end:
            index = bisect_right(self._starts, address) - 1
            piece = self._pieces[index] if index >= 0 else None
            if piece is not None and address < piece.addr + piece.size:
                count = min(end, piece.addr + piece.size) - address
                found += self._read_piece(piece, address - piece.addr, count)
            else:
                stop = self._starts[index + 1] if index + 1 < len(self._starts) else region.end
                count = min(end, max(stop, address + 1)) - address
                if region.missing:
                    raise TriageError(
                        f"memory at {address:#x} was not kept: {safe_line(region.missing, 200)}"
                    )
                found += bytes(count)
            address += count
        return bytes(found)

    def _read_piece(self, piece: MemoryExtent | FileExtent, skip: int, size: int) -> bytes:
        if isinstance(piece, FileExtent):
            return self._read_guest_file(piece, skip, size)
        name = self.region.file
        handle = _open(inside(self._dir, name), name)
        try:
            start = piece.offset + skip
            for number in range(start // BLOCK, (start + size - 1) // BLOCK + 1):
                self._check(handle, number)
            data = os.pread(handle, size, start)
        except (OSError, OverflowError) as error:
            raise TriageError(f"cannot read {safe_line(name)}: {_why(error)}") from None
        finally:
            os.close(handle)
        if len(data) < size:
            raise TriageError(f"{safe_line(name)} is shorter than it was when it was recorded")
        return data

    def _check(self, handle: int, number: int) -> None:
        """Compare one block with its hash, once."""
        if number in self._checked:
            return
        expected = self.region.hashes[number] if number < len(self.region.hashes) else ""
        if hashlib.sha256(os.pread(handle, BLOCK, number * BLOCK)).hexdigest() != expected:
            raise TriageError(f"{safe_line(self.region.file)} was changed after it was recorded")
        self._checked.add(number)

    def _read_guest_file(self, piece: FileExtent, skip: int, size: int) -> bytes:
        shown = f"{safe_line(piece.path, 200)}, which the memory at {piece.addr:#x} was the same as,"
        try:
            handle = _open(inside(self._root, piece.path.lstrip("/")), piece.path)
        except TriageError:
            raise TriageError(f"{shown} is not in {safe_line(str(self._root))} any more") from None
        try:
            status = os.fstat(handle)
            state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            # The last page of a mapping is filled up with zeros; a piece that goes on behind it is not of
            # this file, and the zeros of a false size would be hashed for ever.
            beyond = piece.offset + piece.size - status.st_size
            if piece.offset < 0 or beyond >= _LARGEST_PAGE:
                raise TriageError(f"{shown} is another one now")
            if piece.size > MAX_COMPARED:
                raise TriageError(f"{shown} is too large to compare")
            # The hash is of the whole piece: a person who pages through it waits for that once.
            if self._same.get(piece.addr) != state:
                if _digest(handle, piece) != piece.sha256:
                    raise TriageError(f"{shown} is another one now")
                self._same[piece.addr] = state
            return os.pread(handle, size, piece.offset + skip).ljust(size, b"\0")
        except (OSError, OverflowError) as error:
            raise TriageError(f"{shown} cannot be read: {_why(error)}") from None
        finally:
            os.close(handle)


def _digest(handle: int, piece: FileExtent) -> str:
    """Return the SHA-256 of the part of an open file that `piece` tells of."""
    digest, left, at = hashlib.sha256(), piece.size, piece.offset
    while left > 0:
        block = os.pread(handle, min(left, BLOCK), at)
        # Beyond the end of the file, its last page is filled up with zeros.
        block = block or bytes(min(left, BLOCK))
        digest.update(block)
        left -= len(block)
        at += len(block)
    return digest.hexdigest()


def _why(error: Exception) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else "a number in the record is too large"


def _open(path: Path, shown: str) -> int:
    """Open a regular file that may be anything.

    Raises:
        TriageError: it is none, or cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise TriageError(f"cannot read {safe_line(shown, 200)}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise TriageError(f"{safe_line(shown, 200)} is not a regular file, so it was not read")
    return handle
