"""Paths as a process of the guest sees them: behind its links of proc(5), and with its links followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from triage_tui.guest.host import process

_MOST_LINKS = 40
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def linked(pid: int, link: str) -> bytes:
    """Return what a link in a process's directory of proc(5), "cwd" or "fd/3", leads to, from its own root.

    Raises:
        OSError: there is no such process or link.
    """
    shown = process.living_id(pid)
    path = os.fsencode(os.readlink(f"/proc/{shown}/{link}"))
    root = os.fsencode(os.readlink(f"/proc/{shown}/root"))
    if root != b"/" and path.startswith(root):
        path = path[len(root) :] or b"/"
    return path


def real_path(pid: int, path: bytes) -> bytes:
    """Return an absolute path of a process with the links of its directories followed; the last part is not.

    From a part on that is not there, or may not be looked into, the path stays as it is.

    Raises:
        OSError: there is no such process, or the links never end.
    """
    root = os.open(f"/proc/{process.living_id(pid)}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.ExitStack() as handles:
        handles.callback(os.close, root)
        opened, names = [root], list[bytes]()
        parts = [part for part in path.split(b"/") if part][::-1]
        links = 0
        while parts:
            part = parts.pop()
            if part == b".":
                continue
            if part == b"..":
                names[-1:] = []
                del opened[len(names) + 1 :]
                continue
            names.append(part)
            if not parts or len(opened) < len(names):
                continue
            try:
                handle = os.open(part, _FLAGS, dir_fd=opened[-1])
            except OSError:
                continue
            handles.callback(os.close, handle)
            if not stat.S_ISLNK(os.fstat(handle).st_mode):
                opened.append(handle)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, "too many links")
            target = os.readlink(b"", dir_fd=handle)
            names.pop()
            if target.startswith(b"/"):
                names, opened = [], [root]
            parts += [piece for piece in target.split(b"/") if piece][::-1]
    return b"/" + b"/".join(names)
