"""Change the files of a guest that has only just been started as those of a checkpoint were changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.cell.cell import Cell
from triage_tui.guest.checkpoint.fitting import open_changed
from triage_tui.guest.checkpoint.model import ChangedFile
from triage_tui.text import safe_line


def put_files_back(cell: Cell, directory: Path, changed: list[ChangedFile]) -> None:
    """Change the guest's files as they were changed.

    Raises:
        TriageError: one of them cannot be.
        OSError: the images cannot be read.
    """
    if not changed:
        return
    content = open_changed(directory)
    try:
        for one in changed:
            _put_back(cell, one, one.kind, content if one.kind == "file" else None)
    finally:
        os.close(content)


def put_times_back(cell: Cell, changed: Iterable[ChangedFile]) -> None:
    """Give directories the times that they had before all the files were put back into them.

    Raises:
        TriageError: one of them cannot be had.
    """
    for one in changed:
        if one.kind in ("directory", "replaced"):
            _put_back(cell, one, "directory", None)


def _put_back(cell: Cell, one: ChangedFile, kind: str, content: int | None) -> None:
    entry: dict[str, object] = {
        "kind": kind,
        "mode": one.mode,
        "user": 0 if cell.single_id else one.user,
        "group": 0 if cell.single_id else one.group,
        "atime_ns": one.atime_ns or one.mtime_ns,
        "mtime_ns": one.mtime_ns,
        "target": os.fsencode(one.target).hex(),
        "offset": one.offset,
        "size": one.size,
    }
    result = cell.put_back(os.fsencode(one.path), entry, content)
    if result < 0:
        raise TriageError(f"{safe_line(one.path, 200)} cannot be put back: {os.strerror(-result)}")
