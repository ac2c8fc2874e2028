"""Go on with rounds exactly where they stopped: at a limit, a decision, or because a process was killed."""

from __future__ import annotations

import contextlib
import threading

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.judging.earlier_rounds import past_of
from triage_tui.retry.judging.judge import judge
from triage_tui.retry.rounds.course import Course, Narrator, Round, Terms
from triage_tui.retry.rounds.deciding import Next
from triage_tui.retry.rounds.judged import keep_verdict
from triage_tui.retry.rounds.kept_rounds import KeptRounds, claim, read_kept
from triage_tui.retry.rounds.loop import carry_out
from triage_tui.retry.rounds.policy import Limits, Policy, written_policy
from triage_tui.retry.start import read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import append_event
from triage_tui.runs.listing import run_dirs
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.text import safe_line

_LOOKED_AT = 50
"""Newest runs among which a round is looked for that was recorded and not kept."""


def resume_rounds(
    workspace: Workspace,
    run: Run,
    *,
    limits: Limits | None = None,
    policy: Policy | None = None,
    narrate: Narrator = lambda text: None,
    cancel: threading.Event | None = None,
    freeze: FreezeSwitch | None = None,
    policy_file: str | None = None,
) -> Course:
    """Go on with the rounds that `run` is one of, with what was tried, approved and used so far.

    `limits`, `policy` and `policy_file` take the place of those that were kept; without `limits` the one at
    which the rounds stopped is granted once more. Whatever happens, no guest survives this call.

    Raises:
        Conflict: somebody is at work on them, or nothing is left to go on with.
        TriageError: what was kept cannot be used; or see `run_rounds`.
    """
    kept = read_kept(workspace, run)
    if kept is None:
        raise Conflict(
            f"no rounds of run {run.run_id} were kept, so that nothing can be gone on with:"
            f" say `triage-tui retry {run.run_id}`"
        )
    if kept.supervisor.lives and not kept.why:
        raise Conflict(
            f"process {kept.supervisor.pid} is at work on the rounds of run {run.run_id}: decide there,"
            " or end it first"
        )
    if kept.stage == "ended":
        raise Conflict(
            f"the rounds of run {run.run_id} are over ({safe_line(kept.why, 200)}):"
            f" say `triage-tui retry {run.run_id}` to begin new ones"
        )
    course = _course(workspace, kept, narrate)
    if not course.rounds:
        raise TriageError(
            f"no run of the rounds of run {run.run_id} is there any more: run it from the start"
        )
    chosen = policy or kept.policy
    named = policy_file if policy_file is not None or chosen == "manual" else kept.policy_file or None
    terms = Terms(
        workspace=workspace,
        start=read_start(course.rounds[0].run.dir),
        policy=chosen,
        limits=limits or granted(kept),
        hold=kept.hold,
        narrate=narrate,
        cancel=cancel or threading.Event(),
        freeze=freeze or FreezeSwitch(),
        written=written_policy(workspace, chosen, named, narrate),
    )
    claim(workspace, kept)
    following, current = _where(workspace, kept, course, narrate, chosen)
    return carry_out(terms, course, following, current)


def _course(workspace: Workspace, kept: KeptRounds, narrate: Narrator) -> Course:
    course = Course(used=kept.used, tried=set(kept.tried))
    for one in kept.rounds:
        try:
            run = load_run(workspace.runs_dir / one.run)
        except TriageError as error:
            narrate(f"round {one.run} is left out: {error}")
            continue
        course.rounds.append(
            Round(run, read_verdict(run.dir), one.approved if _active(run) else None, one.approved_before)
        )
    return course


def _active(run: Run) -> bool:
    """Tell whether what was approved on a run was not taken back since."""
    moves = [event.kind for event in run.events if event.kind in ("activated", "rolled_back")]
    return moves[-1:] == ["activated"]


def _where(
    workspace: Workspace, kept: KeptRounds, course: Course, narrate: Narrator, policy: Policy
) -> tuple[Next | None, Round | None]:
    """Return what follows, or the round that is to be decided on."""
    last = course.rounds[-1]
    if kept.stage == "retry":
        if not kept.on:
            return None, None
        known = next((one.run for one in course.rounds if one.run.run_id == kept.on), None)
        on = known or load_run(workspace.runs_dir / kept.on)
        if (found := _recorded_since(workspace, on, course)) is not None:
            narrate(f"run {found.run_id} was recorded before the supervisor was killed: it is judged now")
            course.used.rounds += 1
            course.used.captures += 1
            return None, _taken_in(workspace, found, on, kept.approved, course)
        if not kept.why:
            why = "the retry came to nothing: its supervisor was killed in the middle of the round"
            append_event(on.dir, "needs_person", {"why": why})
            narrate(f"{why}; the round is run again")
            course.used.rounds += 1
        return Next("retry", on, kept.approved), None
    if (title := _approved_by_policy(last, course)) is not None:
        return Next("retry", last.run, title), None
    if policy == "manual" or _active(last.run):
        # The guest is gone, or a person decided since: what is active is what is tried.
        return Next("retry", last.run), None
    return None, last


def _approved_by_policy(last: Round, course: Course) -> str | None:
    """Return what the policy approved on the last round and could not note any more, None for nothing."""
    approved = [event for event in last.run.events if event.kind == "approved"]
    if last.approved or not approved or not _active(last.run) or "policy" not in approved[-1].payload:
        return None
    names = approved[-1].payload.get("proposals")
    proposals = last.run.diagnosis.proposals if last.run.diagnosis is not None else []
    mine = [one for one in proposals if isinstance(names, list) and one.id in names]
    course.tried |= {one.id for one in mine}
    course.used.rules += 1
    last.approved = mine[0].title if mine else "a rule"
    return last.approved


def _recorded_since(workspace: Workspace, before: Run, course: Course) -> Run | None:
    """Return a run that retries `before` and that its killed supervisor could not note any more."""
    known = {one.run.run_id for one in course.rounds}
    for directory in run_dirs(workspace.runs_dir)[:_LOOKED_AT]:
        if directory.name in known or directory.name < before.run_id:
            continue
        try:
            run = load_run(directory)
        except TriageError:
            continue
        if run.snapshot.parent_run == before.run_id and read_verdict(directory) is None:
            return run
    return None


def _taken_in(workspace: Workspace, found: Run, before: Run, approved: str | None, course: Course) -> Round:
    verdict = judge(before, found, past_of(workspace.runs_dir, before, found))
    with contextlib.suppress(Conflict):
        keep_verdict(workspace, before, found, verdict)
    taken = Round(found, verdict, approved_before=approved)
    course.rounds.append(taken)
    return taken


def granted(kept: KeptRounds) -> Limits:
    """Return the kept limits, the one that was reached once more on top of what is used."""
    used = {
        "rounds": kept.used.rounds,
        "total_s": kept.used.seconds,
        "rules": kept.used.rules,
        "captures": kept.used.captures,
    }
    if kept.over not in used:
        return kept.limits
    most = getattr(kept.limits, kept.over)
    return msgspec.structs.replace(kept.limits, **{kept.over: type(most)(used[kept.over] + most)})
