"""What the events say that a decision leaves in the logs of runs."""

from __future__ import annotations

from pathlib import Path

from triage_tui.retry.pending_model import Pending
from triage_tui.rulebook import moves
from triage_tui.runs.events import EVENTS_FILE, append_event, read_events
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.verdict_model import Verdict


def activated(generation: int | None, parent: int | None, files: object, change: str) -> dict[str, object]:
    """Return the payload of the event "activated"."""
    names = sorted(files) if isinstance(files, dict | list | tuple | set) else []
    return {"generation": generation, "parent": parent or None, "files": names, "change": change}


def rolled_back(before: int | None, after: int | None, change: str) -> dict[str, object]:
    """Return the payload of the event "rolled_back"."""
    return {"from": before, "to": after or 0, "change": change}


def retry_finished(verdict: Verdict, pending: Pending) -> dict[str, object]:
    """Return the payload of the event "retry_finished"."""
    return {
        "verdict": verdict.word,
        "run": pending.judged,
        "rung": verdict.rung,
        "reasons": verdict.reasons,
        "links": verdict.links,
        "masked": verdict.masked[:50],
        "change": pending.change,
    }


def edited(pending: Pending) -> dict[str, object]:
    """Return the payload of the event "edited"."""
    return {
        "file": pending.file,
        "sha256": pending.sha256,
        "before": pending.before,
        "change": pending.change,
    }


def tell_runs(runs_dir: Path, directory: Path, before: int, after: int, pending: Pending) -> None:
    """Record a move of the active generation in every run whose rules come or go by it."""
    found = moves.moved(directory, before, after)
    for run in found.runs:
        run_dir = runs_dir / run
        if not is_run_id(run) or not (run_dir / EVENTS_FILE).is_file():
            continue
        mine = {e.kind for e in read_events(run_dir)[0] if e.payload.get("change") == pending.change}
        if run in found.taken_back and "rolled_back" not in mine:
            payload = rolled_back(before, after, pending.change)
            append_event(run_dir, "rolled_back", payload, pending.actor)
        if run in found.put_back and "activated" not in mine:
            payload = activated(after, found.parent, found.put_back[run], pending.change)
            append_event(run_dir, "activated", payload, pending.actor)
