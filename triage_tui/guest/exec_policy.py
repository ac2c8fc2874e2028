"""What may happen when a guest executes a program.

The emulator passes execve to the host's kernel. A program of the host's own architecture would run natively,
outside the emulation, so it is refused. A foreign one is answered with ENOEXEC, also where the host has
binfmt_misc registered: what an unwatched second emulator would do is not part of the run. What fails anyway
is answered with its error. The kernel is never asked: another thread could change the path after it was
looked at.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from triage_tui.guest import process
from triage_tui.guest.host_syscalls import host_machine
from triage_tui.guest.policy import Refusal
from triage_tui.guest.seccomp import Notification
from triage_tui.guest.spec import open_in_root

_MAX_INTERPRETERS = 4
_AT_FDCWD, _AT_EMPTY_PATH = 0xFFFFFF9C, 0x1000
_NATIVE = {"x86_64": (3, 62), "aarch64": (40, 183)}
"""e_machine values that each host's kernel executes itself."""


def requested_path(name: str, notification: Notification) -> str:
    """Return what the host call `name` (execve or execveat) is to execute, as a path for `judge_execution`.

    Raises:
        OSError: the path is not readable.
    """
    tid, args = notification.tid, notification.args
    if name == "execve":
        return os.fsdecode(process.read_string(tid, args[0]))
    path = os.fsdecode(process.read_string(tid, args[1]))
    directory = args[0] & 0xFFFFFFFF
    if path.startswith("/") or directory == _AT_FDCWD or (not path and not args[4] & _AT_EMPTY_PATH):
        return path
    return os.path.join(f"/proc/self/fd/{directory}", path).removesuffix("/")


def judge_execution(root: Path, pid: int, path: str) -> Refusal:
    """Return how executing `path` is answered; it has a reason in words where the file itself has none.

    `root` is the guest's root as the host sees it, `pid` the process that executes, for relative paths.
    """
    for _ in range(_MAX_INTERPRETERS):
        try:
            start = _first_bytes(root, pid, path)
        except OSError as error:
            return Refusal(-(error.errno or errno.EACCES), "")
        if start.startswith(b"\x7fELF") and len(start) >= 20:
            machine = int.from_bytes(start[18:20], "little" if start[5] == 1 else "big")
            if machine in _NATIVE.get(host_machine(), ()):
                return Refusal(
                    -errno.EACCES, "refused by containment: a program of the host's own architecture"
                )
            return Refusal(-errno.ENOEXEC, "the emulator starts no second program")
        words = start[2:].split(b"\n")[0].split() if start.startswith(b"#!") else []
        if not words:
            return Refusal(-errno.ENOEXEC, "")
        path = os.fsdecode(words[0])
    return Refusal(-errno.ELOOP, "refused by containment: too many interpreters")


def _first_bytes(root: Path, pid: int, path: str) -> bytes:
    """Return the start of an executable regular file.

    Raises:
        OSError: it is none, with the number that execve(2) gives.
    """
    if not path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if path.startswith("/proc/self/exe"):
        # The emulator's answer to this path is the guest's program, a foreign one.
        return b"\x7fELF" + b"\0" * 16
    if path.startswith("/proc/self/fd/"):
        number, _, rest = path.removeprefix("/proc/self/fd/").partition("/")
        if rest:
            path = os.path.join(_inside(root, pid, f"fd/{number}"), rest)
            fd = open_in_root(root, path)
        else:
            fd = _open_descriptor(pid, number)
    else:
        if not path.startswith("/"):
            path = os.path.join(_inside(root, pid, "cwd"), path)
        try:
            fd = open_in_root(root, path)
        except OSError as error:
            if error.errno in (errno.EISDIR, errno.EINVAL):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES)) from error
            raise
    try:
        if not os.fstat(fd).st_mode & 0o111:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return os.pread(fd, 256, 0)
    finally:
        os.close(fd)


def _open_descriptor(pid: int, number: str) -> int:
    """Open the regular file behind a descriptor of the guest once more."""
    if not number.isdecimal():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    link = f"/proc/{pid}/fd/{number}"
    if os.stat(link).st_mode & 0o170000 != 0o100000:
        # Merely opening a device or a FIFO can have effects.
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _inside(root: Path, pid: int, link: str) -> str:
    """Return the directory behind a link of /proc/<pid> as the guest names it."""
    directory = os.readlink(f"/proc/{pid}/{link}")
    inside = os.readlink(root)
    if inside != "/" and directory.startswith(inside):
        directory = directory[len(inside) :]
    return directory or "/"
