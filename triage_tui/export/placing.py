"""Put a finished export under its name: whole or not at all, over nothing that is there, through no link."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from triage_tui.errors import TriageError
from triage_tui.text import safe_line


def place_file(
    path: Path, write: Callable[[BinaryIO], None], *, force: bool = False, private: bool = False
) -> None:
    """Let `write` fill a file and give it the name `path`.

    `force` replaces a regular file of that name; `private`: only the owner may read it.

    Raises:
        TriageError: the name is taken, is a link or something special, or cannot be written.
    """
    shown = safe_line(str(path), 300)
    if not path.name or path.name in (".", ".."):
        raise TriageError(f"{shown} is no name of a file")
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TriageError(f"{safe_line(str(path.parent), 300)} cannot be used: {error.strerror}") from error
    try:
        _check_free(directory, path.name, shown, force)
        temporary = f".triage-export-{secrets.token_hex(8)}.tmp"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(temporary, flags, 0o600 if private else 0o644, dir_fd=directory)
        try:
            with os.fdopen(handle, "w+b") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            _name(directory, temporary, path.name, shown, force)
            os.fsync(directory)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
    except OSError as error:
        raise TriageError(f"{shown} cannot be written: {error.strerror}") from error
    finally:
        os.close(directory)


def _check_free(directory: int, name: str, shown: str, force: bool) -> None:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise TriageError(f"{shown} is a link, and nothing is written through links")
    if not stat.S_ISREG(status.st_mode):
        raise TriageError(f"{shown} is no regular file, so it is not replaced")
    if not force:
        raise _taken(shown)


def _taken(shown: str) -> TriageError:
    return TriageError(f"{shown} exists already: choose another name, or replace it with --force")


def _name(directory: int, temporary: str, name: str, shown: str, force: bool) -> None:
    if force:
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        return
    try:
        # Unlike a rename this replaces nothing, whoever comes in between.
        os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        raise _taken(shown) from None
    except OSError:
        # A file system without hard links.
        _check_free(directory, name, shown, force)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


def make_directory(path: Path) -> None:
    """Make the directory `path` if it is not there.

    Raises:
        TriageError: it is a link, something else, or cannot be made.
    """
    shown = safe_line(str(path), 300)
    if path.is_symlink():
        raise TriageError(f"{shown} is a link, and nothing is written through links")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TriageError(f"{shown} cannot be made: {error.strerror}") from error
