"""The user's cache directory: where it is, one writer at a time, trees that are there whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir

Progress = Callable[[str], None]
"""Takes one line about what is being done now."""

_STAGING_PREFIX = "tmp-"


def quiet(_line: str) -> None:
    """Say nothing: the default `Progress`."""


@contextmanager
def exclusive(progress: Progress = quiet) -> Iterator[Path]:
    """Hold the cache for one process; yields the cache directory, made if needed.

    What an interrupted set-up left half-made is removed once the lock is held.

    Raises:
        TriageError: the directory cannot be written.
    """
    directory = cache_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("wb")
    except OSError as error:
        raise TriageError(
            f"Cannot write to the cache directory {directory} ({error.strerror}): "
            "set XDG_CACHE_HOME to a writable directory."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another set-up is at work: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in directory.glob(f"{_STAGING_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield directory


@contextmanager
def staging(directory: Path) -> Iterator[Path]:
    """Yield a fresh directory inside `directory`, on the same file system; it is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=directory))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def publish(tree: Path, place: Path) -> Path:
    """Move the finished `tree` to `place`, unless an equal one is there already; returns `place`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_dir():
        tree.chmod(0o755)
        tree.rename(place)
    return place


def point(link: Path, place: Path) -> None:
    """Make `link` a symbolic link to `place`, replacing an older one in one step."""
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f"{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.path.relpath(place, link.parent))
    fresh.replace(link)
