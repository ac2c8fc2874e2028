"""The locks that a process has on its files: flock(2), fcntl(2), and those of open file descriptions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Literal

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint.injecting import CallFailed, Injector
from triage_tui.guest.checkpoint.model import Descriptor, FileLock, OpenFile
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.checkpoint.wire import Damaged, Message

_LINE = re.compile(
    r"lock:\s*\d+: (?P<kind>\w+)\s+\w+\s+(?P<type>\w+)\s+-?\d+\s+\S+\s+(?P<start>\d+)\s+(?P<end>\d+|EOF)"
)
"""A lock in fdinfo, proc(5)."""
_FLAGS: dict[Literal["POSIX", "FLOCK", "OFDLCK"], int] = {"POSIX": 1, "FLOCK": 2, "OFDLCK": 1024}
"""FL_POSIX and its like of <linux/filelock.h>, as CRIU has them."""
_LOCK_SH, _LOCK_EX, _LOCK_NB = 1, 2, 4
_F_OFD_SETLK = 37
_LAST = (1 << 63) - 1
_MOST = 4096


def locks_of(pid: int, fd: int, what: str) -> list[FileLock]:
    """Return the locks that descriptor `fd` of process `pid` shows; `what` names it in an obstacle.

    Raises:
        Obstacle: one is of a kind that cannot be had again.
        OSError: it is gone.
    """
    found = []
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii", errors="replace") as file:
        for line in file:
            if not line.startswith("lock:"):
                continue
            one = _LINE.match(line)
            kind = next((kind for kind in _FLAGS if one is not None and kind == one["kind"]), None)
            if one is None or kind is None or one["type"] not in ("READ", "WRITE"):
                raise Obstacle(f"{what} is a file with a lock or lease that is not made again")
            start = int(one["start"])
            length = 0 if one["end"] == "EOF" else int(one["end"]) - start + 1
            found.append(FileLock(fd, kind, one["type"] == "WRITE", start, length))
    return found


def lock_entries(pid: int, locks: Iterable[FileLock]) -> list[Message]:
    """Return the entries of CRIU's image of locks, of process `pid` as it knows itself."""
    return [
        {
            "flag": _FLAGS[lock.kind],
            "type": int(lock.writes),
            "pid": pid,
            "fd": lock.fd,
            "start": lock.start,
            "len": lock.length,
        }
        for lock in locks
    ]


def read_locks(entries: Iterable[Message], descriptors: Iterable[Descriptor]) -> list[FileLock]:
    """Return the locks of an image.

    Raises:
        Damaged: one of them cannot be.
    """
    kinds = {flag: kind for kind, flag in _FLAGS.items()}
    fds = {one.fd for one in descriptors}
    found = []
    for entry in entries:
        start, length = entry["start"], entry["len"]
        if entry["flag"] not in kinds or entry["type"] not in (0, 1) or entry["fd"] not in fds:
            raise Damaged("a lock is on no file")
        if not 0 <= start <= _LAST or not 0 <= length <= _LAST - start:
            raise Damaged("a lock is on a part of a file that cannot be")
        found.append(FileLock(entry["fd"], kinds[entry["flag"]], bool(entry["type"]), start, length))
    if len(found) > _MOST:
        raise Damaged(f"it has more than {_MOST} locks")
    return found


def lock_again(
    injector: Injector,
    locks: Iterable[FileLock],
    files: Iterable[OpenFile],
    descriptors: Iterable[Descriptor],
) -> None:
    """Have a guest, in whose place `injector` makes calls, lock its files; none of them is closed any more.

    Raises:
        TriageError: a lock cannot be had.
    """
    access = {file.id: file.flags & os.O_ACCMODE for file in files}
    by_fd = {one.fd: access.get(one.file, 0) for one in descriptors}
    for lock in locks:
        # A process has its locks by every descriptor of the file, and got them by one that fits.
        if lock.kind == "POSIX" and by_fd.get(lock.fd) == (os.O_RDONLY if lock.writes else os.O_WRONLY):
            continue
        try:
            if lock.kind == "FLOCK":
                injector.call("flock", lock.fd, (_LOCK_EX if lock.writes else _LOCK_SH) | _LOCK_NB)
            else:
                name, command = _set_lock(injector.arch)
                command = command if lock.kind == "POSIX" else _F_OFD_SETLK
                injector.call(name, lock.fd, command, injector.put(_flock(injector.arch, lock)))
        except CallFailed as error:
            raise TriageError(f"the file of descriptor {lock.fd} cannot be locked again: {error}") from None


def _set_lock(arch: Arch) -> tuple[str, int]:
    """Return the call, and its F_SETLK for positions of 64 bits (<asm/fcntl.h>)."""
    if arch.word == 8:
        return "fcntl", 6
    return "fcntl64", 34 if arch.name.startswith("mips") else 13


def _flock(arch: Arch, lock: FileLock) -> bytes:
    """Return a `struct flock64`, or that of 64 bits, which looks the same; on i386 nothing is aligned."""
    parts = [(int(lock.writes), 2), (0, 2), (0, 0 if arch.name == "i386" else 4)]
    parts += [(lock.start, 8), (lock.length, 8), (0, 8)]
    return b"".join(value.to_bytes(size, arch.endian) for value, size in parts)
