"""Where the checkpoint of a run lies, and what its event log says of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from triage_tui.runs.events import Event
from triage_tui.runs.limits import show_size
from triage_tui.text import safe_line

CHECKPOINT_DIR = "checkpoint"
FACTS_FILE = "triage.json"
KIND = "checkpoint"
"""Kind of the event that says whether a checkpoint was taken: {"bytes", "call"}, or {"why"} where not."""


def has_checkpoint(run_dir: Path) -> bool:
    """Return whether a run can be retried from a checkpoint; whether that fits is looked at then."""
    return (run_dir / CHECKPOINT_DIR / FACTS_FILE).is_file()


def checkpoint_in_words(run_dir: Path, events: Iterable[Event]) -> str:
    """Return what there is to say of a run's checkpoint, "" where none was asked for; safe to show."""
    told = next((event for event in reversed(list(events)) if event.kind == KIND), None)
    if told is None:
        return ""
    why = told.payload.get("why")
    if isinstance(why, str):
        return f"none: it must start over, because {safe_line(why, 300)}"
    if not has_checkpoint(run_dir):
        return "it is not there any more"
    size, call = told.payload.get("bytes"), told.payload.get("call")
    words = f"taken at {safe_line(str(call), 60)}" if call else "taken"
    if isinstance(size, int):
        words += f", {show_size(size)}"
    return f"{words}: `triage-tui retry --from checkpoint {safe_line(run_dir.name, 60)}` goes on from there"
