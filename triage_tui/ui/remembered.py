"""What the app remembers from one time to the next: theme, order, layout, and the place in each workspace.

It is kept in `$XDG_STATE_HOME/triage-tui/ui.json` (XDG Base Directory Specification). Losing it loses nothing
that matters: what cannot be read is as if it were not there, and what cannot be written is not.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.runs.ids import is_run_id

MAX_BYTES = 256 << 10
MAX_WORKSPACES = 50
"""Workspaces whose place is remembered, those used last."""


class Place(msgspec.Struct):
    """Where a person was in a workspace."""

    run: str = ""
    pane: str = ""


class Remembered(msgspec.Struct):
    """All of it; fields of other versions are ignored."""

    theme: str = ""
    order: str = ""
    zoomed: bool = False
    front: dict[str, str] = msgspec.field(default_factory=dict)
    """Tile to the pane that is in front in it."""
    places: dict[str, Place] = msgspec.field(default_factory=dict)
    """Path of the workspace to the place in it, the one used last at the end."""

    def place(self, workspace: Path) -> Place:
        """Return the place in a workspace; an empty one when none is remembered."""
        found = self.places.get(str(workspace.absolute()), Place())
        return found if is_run_id(found.run) else Place()

    def set_place(self, workspace: Path, place: Place) -> None:
        """Remember a place, and forget those of workspaces that were not used for long."""
        key = str(workspace.absolute())
        self.places.pop(key, None)
        self.places[key] = place
        for name in list(self.places)[:-MAX_WORKSPACES]:
            del self.places[name]


def state_file() -> Path:
    """Return the file in which it is kept."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "triage-tui" / "ui.json"


def recall() -> Remembered:
    """Return what was kept; nothing when it cannot be read."""
    try:
        return msgspec.json.decode(read_bounded(state_file(), MAX_BYTES, whole=True), type=Remembered)
    except (TriageError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Remembered()


def keep(remembered: Remembered) -> None:
    """Keep it for the next time, if that is possible."""
    with contextlib.suppress(OSError, UnicodeEncodeError):
        write_atomic(state_file(), msgspec.json.encode(remembered), mode=0o600)
