"""Take what came of a target into the workspace: its runs, its rules, and what they did.

A place is whole once its answer is there (`place`). Everything here may be done again: a program that is
killed in the middle leaves a place that the next one takes in, and nothing is taken in twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.campaign.model import Outcome, Target
from triage_tui.campaign.moving import move_run
from triage_tui.campaign.rederived import may_be_approved
from triage_tui.campaign.rules_taken_in import TakenIn, same_rule, take_in_rules
from triage_tui.errors import TriageError
from triage_tui.retry.noting import note
from triage_tui.retry.rounds.policy import Policy
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches, statistics
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.events import EVENTS_FILE, Event, append_event, read_events
from triage_tui.runs.files import sync_directory, write_atomic
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.limits import tree_bytes
from triage_tui.runs.listing import summarize
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.text import safe_line

Tell = Callable[[str], None]
MAX_RUNS = 1000
MAX_TEXT, MAX_LISTED = 1000, 200
"""Characters of a text, and entries of a list, that are kept of an outcome."""


def take_in(
    workspace: Workspace,
    directory: Path,
    place: Path,
    target: Target,
    outcome: Outcome,
    tell: Tell,
    *,
    program: str = "",
    policy: Policy = "manual",
) -> Outcome:
    """Move the runs of a place into the workspace and make its rules active there; return the outcome.

    `directory` is that of the campaign. `program` is the id under which the rulebook has the rules of the
    target, where the place came from a worker elsewhere: it changes no others, and brings only what `policy`
    may approve on its runs.

    Raises:
        TriageError: the place is not what a worker leaves, or the workspace has other runs of these ids.
        OSError: the workspace cannot be written; what is left is taken in the next time.
    """
    goal = workspace.runs_dir
    goal.mkdir(parents=True, exist_ok=True)
    names = _runs(place, outcome, goal, directory.name, target)
    here = [name for name in names if (place / "ai_runs" / name).is_dir()]
    for name in here:
        if (goal / name).is_symlink() or (goal / name).exists():
            raise TriageError(f"the workspace has a run {name} already, which is another one")
    runs = [load_run(place / "ai_runs" / name) for name in here]
    ids = {run.snapshot.target.target_id for run in runs}
    if len(ids) > 1 or (program and not ids <= {program}):
        raise TriageError("a worker answered with runs of another program")
    reason = f"campaign {directory.name}, target {safe_line(target.name, 60)}"
    if runs:
        allowed = None
        if program:
            places = [place / "ai_runs" / name if name in here else goal / name for name in names]
            allowed = may_be_approved(places, directory, policy)
        taken = take_in_rules(
            workspace.rulebook, directory, place / "rulebook", runs[0].snapshot.target, reason, tell, allowed
        )
        for run in runs:
            _tell_run(run, taken, directory.name, target)
    for name in here:
        move_run(place / "ai_runs" / name, goal / name)
    sync_directory(goal)
    for name in names:
        _count(workspace, goal / name)
    # A worker elsewhere has the root in another place, and a story goes by that.
    bounded = msgspec.convert(_bounded(msgspec.to_builtins(outcome)), Outcome)
    return msgspec.structs.replace(bounded, runs=names, story=summarize(goal / names[0]).story)


def _bounded(value: Any) -> Any:
    """Return what a worker says with texts and lists no longer than a line of progress can hold.

    A number that JSON has no word for would make that line one that nobody can read.
    """
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0
    if isinstance(value, dict):
        return {key: _bounded(one) for key, one in value.items()}
    return [_bounded(one) for one in value[:MAX_LISTED]] if isinstance(value, list) else value


def _is_of(run_dir: Path, campaign: str, target: Target) -> bool:
    """Tell whether a run of the workspace was taken in for a target before."""
    wanted = {"campaign": campaign, "target": target.target}
    events, _ = read_events(run_dir)
    return any(event.kind == "campaign" and wanted.items() <= event.payload.items() for event in events)


def _runs(place: Path, outcome: Outcome, goal: Path, campaign: str, target: Target) -> list[str]:
    """Return the runs of a place, the oldest first, and those that were moved from there already.

    Raises:
        TriageError: something else is there.
    """
    found = []
    with os.scandir(place / "ai_runs") as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not is_run_id(entry.name) or not stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
                raise TriageError(f"a worker left {safe_line(entry.name, 80)!r} where runs are expected")
            found.append(entry.name)
    told = [name for name in outcome.runs[:MAX_RUNS] if is_run_id(name) and name not in found]
    names = sorted([*found, *(name for name in set(told) if _is_of(goal / name, campaign, target))])
    if not names or len(names) > MAX_RUNS:
        raise TriageError(f"a worker left {len(names)} runs of one target")
    return names


def _tell_run(run: Run, taken: TakenIn, campaign: str, target: Target) -> None:
    """Write into a run which campaign it is of, and which generations hold its rules here."""
    events, _ = read_events(run.dir)
    if any(event.kind == "campaign" for event in events):
        return
    if not taken.exact and any(event.kind in ("activated", "rolled_back") for event in events):
        _renumber(run, events, taken)
    append_event(run.dir, "campaign", {"campaign": campaign, "target": target.target, "name": target.name})


def _renumber(run: Run, events: list[Event], taken: TakenIn) -> None:
    """Write the event log of a run anew, with the numbers of the workspace; 0 stands for none of it."""
    last = max(event.event_id for event in events if event.kind in ("activated", "rolled_back"))
    lines: list[bytes] = []
    before = ""
    number = taken.generation.number if taken.generation is not None else 0
    parent = taken.generation.parent if taken.generation is not None else None
    for event in events:
        if event.kind == "activated":
            stands = event.event_id == last and _stands(run, event, taken)
            event.payload |= {"generation": number if stands else 0, "parent": parent if stands else None}
        elif event.kind == "rolled_back":
            event.payload |= {"from": 0, "to": number}
        event.prev = before
        lines.append(encode_line(event) + b"\n")
        before = hashlib.sha256(lines[-1][:-1]).hexdigest()
    write_atomic(run.dir / EVENTS_FILE, b"".join(lines))


def _stands(run: Run, event: Event, taken: TakenIn) -> bool:
    """Tell whether the rules of an event are active in the workspace."""
    names = event.payload.get("files")
    active = [str(name) for name in names] if isinstance(names, list) else []
    texts: dict[str, bytes] = {}
    for name in patches.list_rules(run.dir):
        with contextlib.suppress(TriageError):
            source = patches.read_rule(run.dir, name)
            texts[patches.active_name(name, source)] = source
    return bool(active) and all(name in texts and same_rule(taken, texts[name], name) for name in active)


def _count(workspace: Workspace, run_dir: Path) -> None:
    """Count what the rules did in a run, and bring the audit log up to its decisions."""
    run = load_run(run_dir)
    target = run.snapshot.target.target_id
    verdict = read_verdict(run_dir)
    if verdict is not None or run.snapshot.rule_hits:
        parent = run.snapshot.parent_run or ""
        before = None
        if verdict is not None and is_run_id(parent):
            with contextlib.suppress(TriageError):
                before = load_run(workspace.runs_dir / parent)
        statistics.count(workspace.rulebook, target, statistics.use_of(run, before, verdict))
    note(workspace.rulebook, run_dir, target)


def size_of(workspace: Workspace, runs: Iterable[str]) -> int:
    """Return how many bytes runs of a workspace take; those that are gone take none."""
    found = 0
    for run in runs:
        with contextlib.suppress(OSError):
            found += tree_bytes(workspace.runs_dir / run)
    return found


def drop(place: Path) -> None:
    """Remove a place."""
    shutil.rmtree(place, ignore_errors=True)
