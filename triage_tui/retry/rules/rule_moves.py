"""Another generation becomes the active one: a run's rules are taken back, or one is gone to by number.

What is left needs not be readable: that it is damaged is a reason to leave it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry import decision_events, pending
from triage_tui.retry.pending import Step
from triage_tui.retry.rules.named_rules import directory_of
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import changing, generations, manifest
from triage_tui.runs.events import default_actor
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line


def roll_back(workspace: Workspace, run: Run, actor: str, step: Step, seen: int | None) -> str:
    """Make the generation active again that was active before the approval on `run`; return one sentence.

    `actor` is "" for the account at work; `seen` is the generation that the person saw active.

    Raises:
        Conflict: another one is active, or the run is being retried.
        TriageError: nothing was made active by the run, or what was before is damaged.
    """
    if run.state == "retrying":
        raise Conflict(
            f"run {run.run_id} is being retried with these rules, so nothing was rolled back:"
            " wait for the verdict, or stop the retry"
        )
    target_dir = workspace.rulebook_dir(run.snapshot.target.target_id)
    current = changing.pointer(target_dir) or 0
    if seen is not None and current != seen:
        raise Conflict(
            f"generation {seen} is not active any more, {_by(target_dir, current)} is,"
            " so nothing was rolled back"
        )
    payloads = [e.payload for e in reversed(run.events) if e.kind == "activated"]
    # What was approved after it may have been rolled back already: the approval of what is active counts.
    activated = next(
        (p for p in payloads if current and p.get("generation") == current),
        payloads[0] if payloads else None,
    )
    if activated is None:
        raise TriageError(f"no rule of run {run.run_id} was made active, so there is nothing to roll back")
    number, parent = activated.get("generation"), activated.get("parent")
    if not current or current != number:
        active = f"generation {current} is: roll that back first" if current else "no rule is"
        raise Conflict(f"generation {number} of run {run.run_id} is not active, {active}")
    decision = pending.pending_of("roll_back", run, actor)
    with pending.begun(workspace.root, decision, step, seen=run) as held:
        back = generations.rollback(
            target_dir,
            parent if isinstance(parent, int) else 0,
            actor=actor or default_actor(),
            reason=f"taken back from run {run.run_id}",
            run=run.run_id,
            change=held.change,
            expect=current,
            ready=held.ready,
            step=step,
        )
        now = back.number if back else 0
        held.tell("rolled_back", decision_events.rolled_back(number, now, held.change))
        step("rolled_back")
    said = f"rolled back to generation {now} of {target_name(run)}, byte for byte"
    return (said if now else f"rolled back: no rule is active for {target_name(run)}") + held.published


def go_to(
    workspace: Workspace, target: str, number: int, actor: str, reason: str, step: Step, seen: int | None
) -> str:
    """Make generation `number` of a target (0: none) the active one; return one sentence.

    Raises:
        Conflict: it is active already, or not what was `seen` is.
        TriageError: there is no such generation, or it is damaged.
    """
    directory = directory_of(workspace, target)
    active = changing.pointer(directory) or 0
    if seen is not None and active != seen:
        other = _by(directory, active)
        raise Conflict(f"generation {seen} is not active any more, {other} is, so nothing was changed")
    if number == active:
        what = f"generation {number} is active" if number else "no rule is active"
        raise Conflict(f"{what} already for target {safe_line(target, 60)}")
    decision = pending.pending_for(directory.name, "move", actor)
    with pending.begun(workspace.root, decision, step) as held:
        generations.rollback(
            directory,
            number,
            actor=decision.actor,
            reason=reason,
            change=held.change,
            expect=active,
            ready=held.ready,
            step=step,
        )
        held.tell_runs(directory, active, number)
        step("told")
    whose = "all targets" if directory == workspace.shared_dir else safe_line(f"target {target}", 80)
    if not number:
        return f"no rule is active for {whose} any more; generation {active} is kept{held.published}"
    said = f"generation {number} is active for {whose}, byte for byte; before it was {active or 'none'}"
    return said + held.published


def target_name(run: Run) -> str:
    """Return what the program of a run is called in a sentence."""
    return safe_line(" ".join(run.snapshot.target.argv) or run.snapshot.target.program, 60)


def _by(target_dir: Path, number: int) -> str:
    """Return a generation's number and who made it, as far as that can be read; "none" for 0."""
    if not number:
        return "none"
    with contextlib.suppress(TriageError):
        return f"{number} of {safe_line(manifest.load(changing.directory_of(target_dir, number)).actor, 60)}"
    return str(number)
