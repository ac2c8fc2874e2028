"""What an export left out of a run on purpose, as the run itself tells it: `left_out.json`.

A reader can tell so what somebody did not want to hand on from evidence that never was.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.record import Record
from triage_tui.text import safe_line

LEFT_OUT_FILE = "left_out.json"
LEFT_OUT_SCHEMA_VERSION = 1
MAX_BYTES = 4 << 20
MAX_NAMES = 8192


class LeftOutFile(Record):
    """One file that the run had where it was recorded."""

    name: str
    """Path in the run directory."""
    why: str
    """In words."""


class LeftOutFiles(Record):
    """The content of `left_out.json`."""

    files: list[LeftOutFile]
    schema_version: int = LEFT_OUT_SCHEMA_VERSION


def read_left_out(run_dir: Path) -> dict[str, str]:
    """Return name -> why of what was left out; nothing for a run that is whole, or does not say."""
    try:
        raw = read_bounded(inside(run_dir, LEFT_OUT_FILE), MAX_BYTES, whole=True)
        found = msgspec.json.decode(raw, type=LeftOutFiles)
    except (TriageError, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {safe_line(one.name, 400): safe_line(one.why, 400) for one in found.files[:MAX_NAMES]}
