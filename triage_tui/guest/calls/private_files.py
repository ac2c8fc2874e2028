"""Files in memory that rules keep for all processes of a guest: what one writes, the others read."""

from __future__ import annotations

import errno
import os

MOST_FILES = 64
MOST_BYTES = 4 << 20
"""Of one file, written by rules; what the guest itself writes counts for its own limits."""


def memory_file(content: bytes, label: bytes = b"") -> int:
    """Return a descriptor on a new file in memory that holds `content`; its name ends in `label`."""
    fd = os.memfd_create(os.fsdecode(b"rule" + (b":" + label if label else b"")), os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class PrivateFiles:
    """The files by their labels, from the first opening to the end of the guest."""

    def __init__(self) -> None:
        self._files: dict[bytes, int] = {}

    def open(self, label: bytes, content: bytes) -> int:
        """Return a new descriptor, with a position of its own, on the file of this label.

        The first one to open it makes it, with `content`.

        Raises:
            OSError: there are too many.
        """
        if label not in self._files:
            if len(self._files) >= MOST_FILES or len(content) > MOST_BYTES:
                raise OSError(errno.ENOSPC, "too many private files")
            self._files[label] = memory_file(content, label)
        return os.open(f"/proc/self/fd/{self._files[label]}", os.O_RDWR | os.O_CLOEXEC)

    def write(self, label: bytes, offset: int, data: bytes) -> None:
        """Write into the file of this label.

        Raises:
            OSError: there is none, or it would be too long.
        """
        if label not in self._files:
            raise OSError(errno.ENOENT, "no such private file")
        if offset + len(data) > MOST_BYTES:
            raise OSError(errno.EFBIG, "the private file would be too long")
        os.pwrite(self._files[label], data, offset)

    def close(self) -> None:
        """Let go of all of them; what the guest has open stays."""
        while self._files:
            os.close(self._files.popitem()[1])
