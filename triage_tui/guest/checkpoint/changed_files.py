"""What a guest has changed below its root: the upper layer of its copy-on-write view, read from outside.

Whiteouts and opaque directories are those of overlayfs (Documentation/filesystems/overlayfs.rst): a character
device 0:0 stands for what was taken away, an extended attribute for a directory that hides the one below it.
Nothing of the guest's making is followed: each name is opened relative to its directory, and links are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from triage_tui.guest.checkpoint.model import ChangedFile
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.runs.limits import show_size

MAX_FILES = 20_000
_PIECE = 1 << 20
_OPAQUE = ("user.overlay.opaque", "trusted.overlay.opaque")
_MAX_DEPTH = 128


class IdMap:
    """The user ids of a guest's name space: what is host id here is id there, user_namespaces(7)."""

    def __init__(self, text: str) -> None:
        """`text` is that of /proc/<pid>/uid_map or gid_map."""
        self._ranges = [
            (int(words[0]), int(words[1]), int(words[2]))
            for words in (line.split() for line in text.splitlines())
            if len(words) == 3
        ]

    def inside(self, number: int) -> int:
        """Return the guest's id of a host id; 0 for one that it has not."""
        for inner, outer, count in self._ranges:
            if outer <= number < outer + count:
                return inner + number - outer
        return 0


def changed_files(
    upper: int, output: BinaryIO, room: int, users: IdMap, groups: IdMap, without: frozenset[str]
) -> list[ChangedFile]:
    """Return what lies in the upper layer `upper`, parents first; the bytes of files go to `output`.

    `room` is how many bytes that may be; paths in `without` are left out.

    Raises:
        Obstacle: there is too much of it.
        OSError: it cannot be read or written.
    """
    found: list[ChangedFile] = []
    written = 0
    first_names: dict[int, str] = {}
    device = os.fstat(upper).st_dev
    for directory, name, path in _names(upper, device):
        if path in without:
            continue
        if len(found) >= MAX_FILES:
            raise Obstacle(f"it has changed more than {MAX_FILES} files below its root")
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        entry = ChangedFile(
            path=path,
            kind="file",
            mode=stat.S_IMODE(status.st_mode),
            user=users.inside(status.st_uid),
            group=groups.inside(status.st_gid),
            atime_ns=status.st_atime_ns,
            mtime_ns=status.st_mtime_ns,
        )
        if stat.S_ISDIR(status.st_mode):
            entry.kind = "replaced" if _is_replaced(directory, name) else "directory"
        elif stat.S_ISLNK(status.st_mode):
            entry.kind, entry.target = "link", os.readlink(name, dir_fd=directory)
        elif stat.S_ISFIFO(status.st_mode):
            entry.kind = "fifo"
        elif stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            entry.kind = "removed"
        elif stat.S_ISSOCK(status.st_mode):
            entry.kind = "socket"
        elif stat.S_ISREG(status.st_mode) and status.st_ino in first_names:
            entry.kind, entry.target = "name", first_names[status.st_ino]
        elif stat.S_ISREG(status.st_mode):
            if status.st_nlink > 1:
                first_names[status.st_ino] = path
            entry.offset, entry.size = written, status.st_size
            written += status.st_size
            if written > room:
                raise Obstacle(
                    "the files that it has changed below its root are larger than the "
                    f"{show_size(room)} that are left"
                )
            _copy(directory, name, status.st_size, output)
        else:
            # Devices come back with the root.
            continue
        found.append(entry)
    return found


def _names(upper: int, device: int) -> Iterator[tuple[int, str, str]]:
    """Yield directory descriptor, name and path of everything below `upper` on the same device."""
    stack: list[tuple[int, str, list[str]]] = [(os.dup(upper), "", sorted(os.listdir(upper)))]
    try:
        while stack:
            directory, path, names = stack[-1]
            if not names:
                os.close(directory)
                stack.pop()
                continue
            name = names.pop(0)
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if status.st_dev != device:
                continue
            yield directory, name, f"{path}/{name}"
            if stat.S_ISDIR(status.st_mode):
                if len(stack) >= _MAX_DEPTH:
                    raise Obstacle(f"it has made more than {_MAX_DEPTH} directories inside one another")
                inner = _open(name, directory, os.O_DIRECTORY)
                stack.append((inner, f"{path}/{name}", sorted(os.listdir(inner))))
    finally:
        for directory, _path, _names_left in stack:
            os.close(directory)


def _open(name: str, directory: int, flags: int) -> int:
    """Open what is to be looked at, which does not count as an access wherever that can be had."""
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=directory)
    except PermissionError:
        return os.open(name, flags, dir_fd=directory)


def _is_replaced(directory: int, name: str) -> bool:
    inner = _open(name, directory, os.O_DIRECTORY)
    try:
        return any(_attribute(inner, key) == b"y" for key in _OPAQUE)
    finally:
        os.close(inner)


def _attribute(fd: int, name: str) -> bytes:
    with suppress(OSError):
        return os.getxattr(fd, name)
    return b""


def _copy(directory: int, name: str, size: int, output: BinaryIO) -> None:
    fd = _open(name, directory, os.O_NONBLOCK)
    with open(fd, "rb", buffering=0) as file:
        left = size
        while left:
            data = file.read(min(left, _PIECE))
            if not data:
                raise OSError(5, f"{name} became shorter while it was read")
            output.write(data)
            left -= len(data)
