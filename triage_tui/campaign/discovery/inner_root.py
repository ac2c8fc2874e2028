"""A root file system below a directory that is none."""

from __future__ import annotations

import os
from pathlib import Path

_MOST_DIRECTORIES, _MOST_LEVELS = 2000, 4
"""How far a root is looked for below a directory that is none."""


def inner_root(place: Path) -> str:
    """Return the directory below `place` that looks like a root file system, "" where none does.

    What takes firmware apart leaves it in a directory of its own (`squashfs-root`), some levels deep.
    """
    waiting, looked = [(place, 0)], 0
    while waiting and looked < _MOST_DIRECTORIES:
        directory, depth = waiting.pop(0)
        looked += 1
        try:
            with os.scandir(directory) as entries:
                inner = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except OSError:
            continue
        if directory != place and {"etc", "bin"} <= inner | {"bin" if "usr" in inner else ""}:
            return str(directory)
        if depth < _MOST_LEVELS:
            waiting += [(directory / name, depth + 1) for name in sorted(inner)]
    return ""
