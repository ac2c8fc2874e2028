"""Copies of host files that a guest may hold: in memory, and sealed against writing (memfd_create(2)).

Whoever has a descriptor of a file can open it once more through /proc/self/fd, with the rights of its owner.
The guest's root is the user who started it, so that it could write into that user's emulator, which would
then run outside the cell, or into the file that it is given as its input.

A copy of an emulator takes some milliseconds, so that one guest's is kept for the next one (`Copies`). Two
guests never have the same one at a time, and what a guest could leave at it for the next, other than in its
bytes, which are sealed (mode, owner, times, attributes), changes the time of its last change, ctime of
inode(7): such a one is not used again. What belongs to the open file (offset, flags, flock(2), leases, the
owner of its signals), which a guest that executes a program shares, ends with it: the copy is opened anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from typing import NamedTuple

_MFD_EXEC = 0x10
"""MFD_EXEC of linux/memfd.h (Linux 6.3)."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_BLOCK = 1 << 24
_MOST_KEPT = 2
"""Copies that wait for the next guest, of some megabytes each."""


def sealed_copy(source: int, name: str) -> int:
    """Return a descriptor, at offset 0, of a copy of the regular file behind `source` that nobody can change.

    `name` is what the kernel calls it in /proc/<pid>/fd and maps.

    Raises:
        OSError: there is no memory for it, or the kernel does not allow it.
    """
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        copy = os.memfd_create(name, flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        copy = os.memfd_create(name, flags)
    try:
        offset = 0
        while count := os.sendfile(copy, source, offset, _BLOCK):
            offset += count
        os.lseek(copy, 0, os.SEEK_SET)
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(copy)
        raise
    return copy


def open_sealed(path: str | os.PathLike[str]) -> int:
    """Return a descriptor of a sealed copy of the regular file `path`.

    Raises:
        OSError: it cannot be read, or copied.
    """
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return sealed_copy(source, os.path.basename(path))
    finally:
        os.close(source)


class _Copy(NamedTuple):
    source: tuple[object, ...]
    """What tells whether the file is as it was when it was copied."""
    state: tuple[int, ...]
    """What would be another if somebody had changed something about the copy."""


def _state(fd: int) -> tuple[int, ...]:
    status = os.fstat(fd)
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ctime_ns


class Copies:
    """Sealed copies of emulators that one guest after the other uses. For use in any thread."""

    def __init__(self) -> None:
        """Keep none yet."""
        self._lock = threading.Lock()
        self._lent: dict[int, _Copy] = {}
        self._kept: dict[int, _Copy] = {}
        # A forked process has the same copies: two guests would have one at a time.
        os.register_at_fork(after_in_child=self._forget)

    def borrow(self, path: str | os.PathLike[str]) -> int:
        """Return a descriptor of a sealed copy of the regular file `path`, which nobody else has; `give_back`
        closes it.

        Raises:
            OSError: it cannot be read, or copied.
        """
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(source)
            times = status.st_mtime_ns, status.st_ctime_ns
            origin = (os.fspath(path), status.st_dev, status.st_ino, status.st_size, *times)
            with self._lock:
                found = next((fd for fd, copy in self._kept.items() if copy.source == origin), None)
                if found is not None:
                    self._lent[found] = self._kept.pop(found)
                    return found
            fd = sealed_copy(source, os.path.basename(path))
        finally:
            os.close(source)
        with self._lock:
            self._lent[fd] = _Copy(origin, _state(fd))
        return fd

    def give_back(self, fd: int, *, again: bool) -> None:
        """Take back what was borrowed; `again` says that no process of the guest is left that had it."""
        done_with = [fd]
        with self._lock:
            copy = self._lent.pop(fd, None)
            if again and copy is not None and _state(fd) == copy.state:
                with contextlib.suppress(OSError):
                    anew = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
                    self._kept[anew] = copy
                if len(self._kept) > _MOST_KEPT:
                    oldest = next(iter(self._kept))
                    del self._kept[oldest]
                    done_with.append(oldest)
        for each in done_with:
            os.close(each)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        for fd in self._kept:
            os.close(fd)
        self._kept.clear()
        self._lent.clear()


COPIES = Copies()
"""Those of this process."""
