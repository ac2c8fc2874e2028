"""Move a run into the workspace, whole or not at all, also where its runs lie on another file system."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

from triage_tui.runs.files import sync_directory, waits_for_disk
from triage_tui.runs.writer import remove_abandoned


def move_run(source: Path, goal: Path) -> None:
    """Give the run directory `source` the name `goal`; a copy is on the disk before it shows.

    Raises:
        OSError: it cannot be moved; `source` is as it was.
    """
    try:
        os.rename(source, goal)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    remove_abandoned(goal.parent)
    staging = goal.with_name(f".tmp-{goal.name}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # It ends with this process: what is not locked was left by one that was killed.
        fcntl.flock(handle, fcntl.LOCK_EX)
        shutil.copytree(source, staging, symlinks=True, dirs_exist_ok=True)
        _sync_tree(staging)
        os.rename(staging, goal)
    except shutil.Error as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise OSError(*_first(error)) from error
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        os.close(handle)
    shutil.rmtree(source, ignore_errors=True)


def _sync_tree(tree: Path) -> None:
    if not waits_for_disk():
        return
    for where, _, names in os.walk(tree):
        for name in names:
            path = Path(where, name)
            if path.is_symlink() or not path.is_file():
                continue
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_directory(Path(where))


def _first(error: shutil.Error) -> tuple[int, str]:
    """Return the number and the words of what copytree(), which collects its errors as texts, ran into."""
    for one in error.args[0]:
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in str(one[2]):
                return number, os.strerror(number)
    return errno.EIO, str(error.args[0][0][2])
