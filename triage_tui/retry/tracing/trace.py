"""Make the trace of a run, a rule or a story."""

from __future__ import annotations

import contextlib

from triage_tui.errors import TriageError
from triage_tui.retry.tracing.building import Building, names_of
from triage_tui.retry.tracing.finding import Found
from triage_tui.retry.tracing.model import Changed, Trace
from triage_tui.retry.tracing.of_rule import trace_of_rule
from triage_tui.retry.tracing.of_run import trace_of_run
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import statistics
from triage_tui.runs.evidence import make_link
from triage_tui.runs.listing import RunSummary, list_runs
from triage_tui.runs.reader import Run
from triage_tui.runs.rounds import ladder
from triage_tui.runs.stories import story_of
from triage_tui.runs.verdict_figures import figure_rows, rung_in_words
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.text import number_of

MAX_RUNS = 40
"""Runs of a story that are told: the newest."""


def make_trace(workspace: Workspace, found: Found) -> Trace:
    """Return the trace of what was found.

    Raises:
        TriageError: it is a run that cannot be read.
    """
    building = Building(workspace.runs_dir, workspace.rulebook)
    if found.of == "rule":
        says = trace_of_rule(building, found)
    elif found.of == "story":
        says = _of_story(building, found.name)
    else:
        says = _of_run(building, workspace, found.name)
    building.finish()
    runs = sorted(name for name, run in building.runs.items() if run is not None)
    return Trace(
        of=found.of, subject=found.name, says=says, runs=runs, steps=building.steps, lacking=building.lacking
    )


def _of_run(building: Building, workspace: Workspace, name: str) -> str:
    run = workspace.load(name)
    building.runs[name] = run
    rounds = ladder(run)
    here = next((n for n, one in enumerate(rounds) if one.run_id == name), 0)
    parent = run.snapshot.parent_run
    if parent and not here:
        building.lack(f"run {parent}, which this one retries, is not here any more")
    before: list[int] = []
    for one in rounds[:here]:
        made = _what_made(building, one.run_id, name, before[-1:]) if one.run_id == parent else 0
        before.append(made or _round(building, one, "plan", because=before[-1:]))
    own = trace_of_run(building, run, because=before[-1:])
    after = rounds[here + 1 :]
    last = own
    for one in after:
        last = _round(building, one, "verification", because=[last])
    _later_uses(building, run, {one.run_id for one in rounds}, own)
    state = run.state.replace("_", " ")
    later = f"; {number_of(len(after), 'round')} after it" if after else ""
    return f"{run.snapshot.target.program}: {state}{later}"


def _what_made(building: Building, parent: str, name: str, because: list[int]) -> int:
    """Append what in the run `parent` led to the run `name`: its rules, the retry and how it was judged.

    Returns the number of the verdict, 0 where no rule is known by which `name` was made.
    """
    run = building.run(parent)
    if run is None or not any(
        event.kind == "retry_finished" and event.payload.get("run") == name for event in run.events
    ):
        return 0
    active = [event for event in run.events if event.kind == "activated"]
    files = {file for event in active for file in names_of(event.payload.get("files"))}
    if not files:
        return 0
    proposed = [one.files for one in (run.diagnosis.proposals if run.diagnosis is not None else ())]
    only = {file for some in proposed for file in some if file.partition("/")[2] in files} | files
    first = len(building.steps)
    last = trace_of_run(building, run, only=only, because=because)
    verdicts = (step for step in building.steps[first:] if step.kind == "verdict")
    return next((step.number for step in verdicts if f"run {name}" in step.says), last)


def _round(building: Building, one: RunSummary, phase: str, because: list[int] | None = None) -> int:
    """Append another round of the same course in short."""
    run = building.run(one.run_id)
    says = one.headline or one.reason
    if run is None:
        return building.add("round", one.run_id, says, phase=phase, because=because or [])
    verdict = read_verdict(run.dir)
    figures, evidence = [], []
    if verdict is not None:
        says = f"{verdict.word} ({rung_in_words(verdict.rung)}): {says}"
        if phase == "verification":
            figures = [
                Changed(name=row.name, before=row.before, after=row.after) for row in figure_rows(verdict)
            ]
        links = zip(verdict.reasons, verdict.links, strict=False)
        evidence = [building.cited(run, link, reason) for reason, link in links if link]
    if not evidence:
        with contextlib.suppress(TriageError):
            evidence = [building.cited(run, make_link(run, "syscall", run.snapshot.trigger.seq))]
    return building.add(
        "round",
        one.run_id,
        says,
        phase=phase,
        at=one.created_at,
        why=f"it stands at {one.state.replace('_', ' ')}",
        because=because or [],
        evidence=evidence,
        figures=figures,
    )


def _later_uses(building: Building, run: Run, known: set[str], verdict: int) -> None:
    """Append later runs of the target, of other courses, in which a rule acted that was made active here."""
    shas = {
        rule.sha256
        for step in building.steps
        if step.run == run.run_id and step.kind == "rule"
        for rule in step.rules
        if rule.sha256
    }
    try:
        uses = statistics.uses(building.rulebook, run.snapshot.target.target_id) if shas else []
    except TriageError as error:
        building.lack(str(error))
        return
    for use in uses:
        acted = [rule for rule in use.rules if rule.sha256 in shas and rule.hits]
        if not acted or use.run in known or use.run <= run.run_id:
            continue
        hits = ", ".join(f"{one.rule} {number_of(one.hits, 'hit')}" for one in acted)
        says = f"{use.verdict or 'first run'}: {hits}"
        later = building.run(use.run)
        evidence = []
        if later is not None:
            with contextlib.suppress(TriageError):
                evidence = [building.cited(later, make_link(later, "rule", one.rule)) for one in acted]
        building.add("acted", use.run, says, at=use.wall, because=[verdict], evidence=evidence)


def _of_story(building: Building, name: str) -> str:
    members = sorted(
        (one for one in list_runs(building.runs_dir) if story_of(one) == name), key=lambda one: one.run_id
    )
    told = members[-MAX_RUNS:]
    if len(told) < len(members):
        building.lack(f"{number_of(len(members) - len(told), 'older run')} of the story left out")
    verdicts: dict[str, int] = {}
    for one in told:
        run = building.run(one.run_id)
        if run is not None:
            parent = verdicts.get(run.snapshot.parent_run or "", 0)
            verdicts[one.run_id] = trace_of_run(building, run, because=[parent])
    newest = members[-1] if members else None
    if newest is None:
        return "it has no runs"
    states = sorted({one.state.replace("_", " ") for one in members})
    runs, command = number_of(len(members), "run"), " ".join(newest.argv) or newest.program
    return f"{runs} of {command}, cause {newest.cause or 'unknown'}: {', '.join(states)}"
