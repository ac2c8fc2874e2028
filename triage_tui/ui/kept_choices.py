"""What was decided about hunks, from one time to the next: $XDG_STATE_HOME/triage-tui/choices.json.

It is kept here and not in the run, because runs may come from elsewhere: nobody else chooses for a person.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook.choices import Kept
from triage_tui.runs.files import read_bounded, write_atomic

MAX_BYTES = 4 << 20
MAX_RUNS = 200
"""Runs whose decisions are kept, in all workspaces together; those used last."""


class _File(msgspec.Struct):
    """Path of a run to what was decided in it, the one used last at the end."""

    runs: dict[str, Kept] = msgspec.field(default_factory=dict)


def _path() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "triage-tui" / "choices.json"


def _read() -> _File:
    try:
        return msgspec.json.decode(read_bounded(_path(), MAX_BYTES, whole=True), type=_File)
    except (TriageError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _File()


def recall_choices(workspace: Path) -> dict[str, Kept]:
    """Return what was decided in the runs of a workspace; nothing where that cannot be read."""
    prefix = f"{workspace.absolute()}/"
    return {name.removeprefix(prefix): kept for name, kept in _read().runs.items() if name.startswith(prefix)}


def keep_choices(workspace: Path, choices: dict[str, Kept]) -> None:
    """Keep it for the next time, if that is possible."""
    file = _read()
    for run_id, kept in choices.items():
        name = f"{workspace.absolute()}/{run_id}"
        file.runs.pop(name, None)
        if kept.states or kept.points:
            file.runs[name] = kept
    for name in list(file.runs)[:-MAX_RUNS]:
        del file.runs[name]
    with contextlib.suppress(OSError, UnicodeEncodeError):
        write_atomic(_path(), msgspec.json.encode(file), mode=0o600)
