"""What an adopted run says of where it came from: `sfemu.json` of its record."""

from __future__ import annotations

from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.runs.record import Record

FILE = "sfemu.json"
MAX_BYTES = 4 << 20
FORM = 2
"""Counts up when an adoption would write something else: older ones are made again."""


class Adopted(Record):
    """Where a run came from, and what was taken in."""

    source: str
    """SFEmu's directory of the run, below the rule directory: "cache/ai_runs/20260131_020007_00000046"."""
    versions: str
    """Which versions of SFEmu may have written it: "1 to 3", "4 to 6", "6"."""
    stamp: str
    """Of names, sizes and times of all that was read: what has this one needs no second look."""
    files: dict[str, str] = {}
    """SHA-256 of SFEmu's `snapshot.json`, and of each of our logs of what it wrote."""
    rules: dict[str, str] = {}
    """Rule file of ours -> SHA-256 of SFEmu's text in it: one that has another was edited since."""
    schema_version: int = FORM


def read_adopted(run_dir: Path) -> Adopted | None:
    """Return what a run of ours says of where it came from; None for one that was not adopted."""
    try:
        found = msgspec.json.decode(read_bounded(run_dir / FILE, MAX_BYTES, whole=True), type=Adopted)
    except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return found
