"""Carry out one experiment on a run, diagnose again, and say in one sentence what was learnt.

What is to be done is derived from the run record, never taken from a `diagnosis.json`, which may come from
somebody else. Some experiments read the record or a guest that is held frozen; the others run the program
again from its start and lead to a new run. Each leaves its start and its end in the run's event log.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from triage_tui.diagnosis.experiment_places import can_be_tried
from triage_tui.diagnosis.experiments import SURE
from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.experiments.learning import learnt_from
from triage_tui.retry.experiments.reading import read_code, read_memory
from triage_tui.retry.experiments.runs import run_experiment
from triage_tui.retry.inspecting.rediagnose import takes_long
from triage_tui.retry.one_run import Tell
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Diagnosis, Experiment, Hypothesis
from triage_tui.runs.events import Event, append_event, process_start, this_process
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import START_FILE
from triage_tui.text import safe_line

_READING = {"code": read_code, "memory": read_memory}


class Outcome(msgspec.Struct, frozen=True):
    """What came of an experiment."""

    experiment: Experiment
    learnt: str
    """One sentence without a final full stop."""
    told: bool
    """Whether the diagnosis is another one, or surer or less sure, than before."""
    run_id: str
    """The run that holds the new evidence: a new one, or the same."""
    before: Hypothesis | None = None
    after: Hypothesis | None = None


def possible(run: Run, *, anyway: bool = False) -> list[Experiment]:
    """Return what can be tried with a run, best first; with `anyway` even where the cause is sure.

    Raises:
        TriageError: the knowledge base has a mistake.
    """
    return diagnose(run, anyway=anyway).experiments


def chosen(run: Run, wanted: str = "") -> Experiment:
    """Return the experiment that `wanted` names by its id, the beginning of it or its kind; "" is the best.

    One that is named is found even where the cause is sure, and nothing has to be tried.

    Raises:
        TriageError: there is none, or several begin so.
    """
    diagnosis = diagnose(run)
    found = diagnosis.experiments
    if wanted and not found:
        found = possible(run, anyway=True)
    if not found:
        raise TriageError(f"nothing is left to try with run {run.run_id}: {_why_none(run, diagnosis)}")
    if not wanted:
        return found[0]
    matching = [one for one in found if wanted in (one.id, one.kind)] or [
        one for one in found if one.id.startswith(wanted)
    ]
    if len(matching) != 1:
        names = ", ".join(one.id for one in found)
        which = "several experiments begin" if matching else "no experiment is called or begins"
        raise TriageError(f"{which} with {safe_line(wanted, 40)!r}; this run has {names}")
    return matching[0]


def _why_none(run: Run, diagnosis: Diagnosis) -> str:
    best = next(iter(diagnosis.hypotheses), None)
    root = run.snapshot.target.rootfs or ""
    if not can_be_tried(run, "again") and (best is None or best.confidence < SURE):
        if (run.dir / START_FILE).exists():
            return f"it cannot be run again: its root file system {safe_line(root, 200)} is gone"
        return f"it cannot be run again, since it has no {START_FILE}, which says how it was started"
    if best is not None and best.cause != "unknown":
        return f"{safe_line(best.cause, 40)} {best.confidence:.2f} is what the record shows"
    return "its record allows no experiment from here"


def carry_out(
    workspace: Workspace,
    run_id: str,
    wanted: str,
    tell: Tell,
    cancel: threading.Event,
    actor: str | None = None,
) -> Outcome:
    """Carry out an experiment; `tell` gets raw text on how far it is, `cancel` ends it.

    Raises:
        Conflict: another experiment on this run is under way.
        TriageError: it could not be carried out, or was cancelled; what it changed is taken back.
    """
    run = workspace.load(run_id)
    if note := takes_long(run.dir):
        tell(note)
    experiment = chosen(run, wanted)
    if under_way(run.events):
        raise Conflict(f"an experiment on run {run.run_id} is under way already")
    before = run.diagnosis or diagnose(run)
    known = {"id": experiment.id, "kind": experiment.kind}
    started = {**known, "says": experiment.says, **this_process()}
    append_event(run.dir, "experiment_started", started, actor)
    tell(experiment.says)
    try:
        if experiment.kind in _READING:
            new, saw = _READING[experiment.kind](workspace, run, experiment, tell, cancel)
        else:
            new, saw = run_experiment(workspace, run, experiment, tell, cancel, actor)
    except BaseException as error:
        why = str(error) if isinstance(error, TriageError) else "it was stopped"
        ended = {**known, "told": False, "learnt": f"it came to nothing: {safe_line(why, 300)}"}
        append_event(run.dir, "experiment_finished", ended, actor)
        raise
    after = new.diagnosis or diagnose(new)
    learnt, told = learnt_from(saw, before, after)
    payload: dict[str, Any] = {**known, "told": told, "learnt": learnt, "run": new.run_id}
    append_event(run.dir, "experiment_finished", payload, actor)
    return Outcome(
        experiment,
        learnt,
        told,
        new.run_id,
        next(iter(before.hypotheses), None),
        next(iter(after.hypotheses), None),
    )


def under_way(events: list[Event]) -> bool:
    """Tell whether an experiment was begun that is not over, by a process that lives."""
    for event in reversed(events):
        if event.kind == "experiment_finished":
            return False
        if event.kind == "experiment_started":
            pid, start = event.payload.get("pid"), event.payload.get("start")
            return isinstance(pid, int) and isinstance(start, int) and process_start(pid) == start
    return False
