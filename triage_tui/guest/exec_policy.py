"""What may happen when a guest executes a program.

The emulator passes execve to the host's kernel. A program of the host's own architecture would run natively,
outside the emulation, so it is refused. A foreign one is answered with ENOEXEC, also where the host has
binfmt_misc registered: what an unwatched second emulator would do is not part of the run.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from triage_tui.guest.host_syscalls import host_machine
from triage_tui.guest.policy import Refusal
from triage_tui.guest.spec import open_in_root

_MAX_INTERPRETERS = 4
_NATIVE = {"x86_64": (3, 62), "aarch64": (40, 183)}
"""e_machine values that each host's kernel executes itself."""


def judge_execution(root: Path, pid: int, path: str) -> Refusal | None:
    """Return how executing `path` is answered, None when the kernel may say itself what is wrong with it.

    `root` is the guest's root as the host sees it, `pid` the process that executes, for relative paths.
    """
    for _ in range(_MAX_INTERPRETERS):
        start = _first_bytes(root, pid, path)
        if start is None:
            return None
        if start.startswith(b"\x7fELF") and len(start) >= 20:
            machine = int.from_bytes(start[18:20], "little" if start[5] == 1 else "big")
            if machine in _NATIVE.get(host_machine(), ()):
                return Refusal(
                    -errno.EACCES, "refused by containment: a program of the host's own architecture"
                )
            return Refusal(-errno.ENOEXEC, "the emulator starts no second program")
        if not start.startswith(b"#!"):
            return None
        words = start[2:].split(b"\n")[0].split()
        if not words:
            return None
        path = os.fsdecode(words[0])
    return Refusal(-errno.ELOOP, "refused by containment: too many interpreters")


def _first_bytes(root: Path, pid: int, path: str) -> bytes | None:
    """Return the start of an executable regular file, None for anything else."""
    try:
        if path.startswith("/proc/self/exe"):
            # The emulator's answer to this path is the guest's program, a foreign one.
            return b"\x7fELF" + b"\0" * 16
        if not path.startswith("/"):
            path = os.path.join(_working_directory(root, pid), path)
        fd = open_in_root(root, path)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if (status.st_mode & 0o170000) != 0o100000 or not status.st_mode & 0o111:
            return None
        return os.pread(fd, 256, 0)
    except OSError:
        return None
    finally:
        os.close(fd)


def _working_directory(root: Path, pid: int) -> str:
    directory = os.readlink(f"/proc/{pid}/cwd")
    inside = os.readlink(root)
    if inside != "/" and directory.startswith(inside):
        directory = directory[len(inside) :]
    return directory or "/"
