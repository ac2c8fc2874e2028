"""Copies of host files that a guest may hold: in memory, and sealed against writing (memfd_create(2)).

Whoever has a descriptor of a file can open it once more through /proc/self/fd, with the rights of its owner.
The guest's root is the user who started it, so that it could write into that user's emulator, which would
then run outside the cell, or into the file that it is given as its input.
"""

from __future__ import annotations

import errno
import fcntl
import os

_MFD_EXEC = 0x10
"""MFD_EXEC of linux/memfd.h (Linux 6.3)."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_BLOCK = 1 << 24


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
