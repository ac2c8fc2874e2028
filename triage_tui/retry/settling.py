"""What a killed program left of a decision is brought to its end: the logs say what the rulebook holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.decision_events import activated, edited, retry_finished, rolled_back, tell_runs
from triage_tui.retry.noting import note
from triage_tui.retry.pending_model import (
    CHANGE,
    MAX_BYTES,
    MAX_PENDING,
    MOVES,
    PENDING_DIR,
    PUBLISHED,
    Pending,
)
from triage_tui.rulebook import generations, patches, statistics
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.hunks import digest_of
from triage_tui.rulebook.places import target_directory
from triage_tui.rulebook.rollouts import settling as rollouts
from triage_tui.runs.events import Event, append_event, read_events
from triage_tui.runs.files import read_bounded, sync_directory
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.reader import load_run
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.sfemu import rules_dir
from triage_tui.text import safe_name


def settle(root: Path) -> int:
    """Settle what killed programs left of their decisions on a workspace; return how many there were.

    Where that is not possible (no permission to write), it stays; nothing is raised.
    """
    directory = root / "rulebook" / PENDING_DIR
    if directory.is_symlink():
        return 0  # In a workspace from elsewhere it may lead anywhere.
    try:
        names = sorted(os.listdir(directory))[:MAX_PENDING]
    except OSError:
        return 0
    count = 0
    for name in names:
        with contextlib.suppress(OSError, TriageError):
            count += _settle_file(root, directory / name)
    return count


def _settle_file(root: Path, path: Path) -> bool:
    """Settle one file, unless the program that wrote it lives."""
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists():
            return False  # Somebody settled it in between.
        if path.name.endswith(".tmp"):
            path.unlink()  # It was killed before anything was decided.
            return False
        try:
            pending = msgspec.json.decode(read_bounded(path, MAX_BYTES, whole=True), type=Pending)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if CHANGE.fullmatch(pending.change) and path.name == f"{pending.change}.json":
            settle_one(root, pending)
            path.unlink()
            sync_directory(path.parent)
            return True
        return False
    finally:
        os.close(handle)


def settle_one(root: Path, pending: Pending) -> None:
    """Make the event log of the run, the audit log and what is published agree with what took place."""
    _settle_logs(root, pending)
    if root.name == rules_dir.HOME and pending.kind in PUBLISHED:
        from triage_tui.sfemu.publishing import settle_home

        settle_home(root)


def _settle_logs(root: Path, pending: Pending) -> None:
    rulebook = root / "rulebook"
    if pending.kind == "move":
        _settle_move_alone(root, rulebook / safe_name(pending.target), pending)
        return
    if pending.kind == "rollout":
        rollouts.settle(rulebook, pending.file, pending.change, pending.actor)
        return
    target_dir = target_directory(rulebook, pending.target)
    linked = target_dir.is_symlink() or (target_dir / "generations").is_symlink()
    if pending.kind in MOVES and target_dir.is_dir() and not linked:
        generations.recover(target_dir)
    run_dir = root / "ai_runs" / pending.run
    if not is_run_id(pending.run) or not run_dir.is_dir():
        return
    mine = [e for e in read_events(run_dir)[0] if e.payload.get("change") == pending.change]
    match pending.kind:
        case "approve" | "roll_back":
            _settle_move(run_dir, rulebook, pending, mine)
        case "edit":
            _settle_edit(run_dir, pending, mine)
        case "judge":
            _settle_judgement(root, run_dir, pending, mine)
        case _:
            pass
    note(rulebook, run_dir, pending.target)


def _settle_move(run_dir: Path, rulebook: Path, pending: Pending, mine: list[Event]) -> None:
    kinds = {event.kind for event in mine}
    moved = audit_log.announcement(rulebook, pending.change)
    if moved is not None and pending.kind == "roll_back" and "rolled_back" not in kinds:
        append_event(
            run_dir, "rolled_back", rolled_back(moved.before, moved.after, pending.change), pending.actor
        )
    elif moved is not None and pending.kind == "approve" and "activated" not in kinds:
        payload = activated(moved.after, moved.before, moved.rules, pending.change)
        append_event(run_dir, "activated", payload, pending.actor)
    elif moved is None and "approved" in kinds and "reconsidered" not in kinds:
        # The log must not say that it was approved.
        approved = next(event for event in mine if event.kind == "approved")
        payload = {"event": approved.event_id, "change": pending.change}
        append_event(run_dir, "reconsidered", payload, pending.actor)


def _settle_move_alone(root: Path, directory: Path, pending: Pending) -> None:
    if not directory.is_dir() or directory.is_symlink() or (directory / "generations").is_symlink():
        return
    generations.recover(directory)
    told = audit_log.announcement(directory.parent, pending.change)
    if told is not None:
        tell_runs(root / "ai_runs", directory, told.before or 0, told.after or 0, pending)


def _settle_edit(run_dir: Path, pending: Pending, mine: list[Event]) -> None:
    with contextlib.suppress(TriageError, OSError):
        patches.remove_leftovers(run_dir, pending.file)
    try:
        now = digest_of(patches.read_rule(run_dir, pending.file))
    except TriageError:
        return
    if now == pending.sha256 and not mine:
        append_event(run_dir, "edited", edited(pending), pending.actor)


def _settle_judgement(root: Path, run_dir: Path, pending: Pending, mine: list[Event]) -> None:
    judged = run_dir.parent / pending.judged
    if not is_run_id(pending.judged) or not judged.is_dir():
        return
    run, verdict = load_run(judged), read_verdict(judged)
    before = load_run(run_dir) if pending.judged != pending.run else None
    if before is not None and verdict is None:
        return  # It was killed before it judged.
    statistics.count(root / "rulebook", pending.target, statistics.use_of(run, before, verdict))
    if verdict is not None and not mine:
        append_event(run_dir, "retry_finished", retry_finished(verdict, pending), pending.actor)
