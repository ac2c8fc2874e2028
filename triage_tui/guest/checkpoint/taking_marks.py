"""What inotify instances watch: the kernel tells which inode, the guest's calls by which path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from triage_tui.guest.checkpoint.model import Descriptor, Mark, OpenFile
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.spec import find_in_root
from triage_tui.runs.model import Syscall

CALL = "inotify_add_watch"


def name_marks(
    pid: int,
    cwd: str,
    root: str,
    files: Iterable[OpenFile],
    descriptors: Sequence[Descriptor],
    calls: Iterable[Syscall],
) -> None:
    """Fill in the paths of what the inotify instances among `files` watch, and the numbers they gave last.

    `cwd` is the directory of process `pid` and `root` its root, both as the first process of its name spaces
    sees them; `calls` are its calls that are kept.

    Raises:
        Obstacle: what is watched has another name by now, or none.
    """
    made = [call for call in calls if call.name == CALL and call.ret is not None and call.errno is None]
    made = [call for call in made if call.path and call.arguments and not call.intercepted]
    for file in files:
        if file.kind != "inotify":
            continue
        numbers = {str(one.fd) for one in descriptors if one.file == file.id}
        fd = min(numbers, key=int)
        file.marks = [
            msgspec.structs.replace(mark, path=_path(pid, cwd, root, f"descriptor {fd}", mark, made))
            for mark in file.marks
        ]
        given = [call.ret or 0 for call in made if call.arguments[0] in numbers]
        file.last_mark = max([mark.number for mark in file.marks] + given, default=0)


def _path(pid: int, cwd: str, root: str, what: str, mark: Mark, made: Sequence[Syscall]) -> str:
    """Return a path, as the first process of the name spaces sees it, by which a watched inode is found."""
    # Both begin at the process's own root.
    directory = cwd.removeprefix(root) if root != "/" else cwd
    for call in reversed(made):
        if call.ret == mark.number and call.path is not None:
            path = call.path if call.path.startswith("/") else f"{directory}/{call.path}"
            if found := _found(pid, path, mark.inode):
                return found
    raise Obstacle(f"{what} is inotify, and what it watches has another name by now, or none")


def _found(pid: int, path: str, inode: int) -> str:
    """Return where a path of the process's leads to, "" where that is another inode than this, or nothing."""
    try:
        found = find_in_root(Path(f"/proc/{pid}/root"), path)
    except (OSError, ValueError):
        # The path may come from the record of the run that the guest goes on from: any text.
        return ""
    try:
        return os.readlink(f"/proc/self/fd/{found}") if os.fstat(found).st_ino == inode else ""
    finally:
        os.close(found)
