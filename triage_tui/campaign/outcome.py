"""What came of a target, told from its rounds."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from triage_tui.campaign.model import (
    DIAGNOSED,
    HEALTHY,
    NOT_DIAGNOSED,
    Need,
    Outcome,
    RuleOutcome,
    higher,
)
from triage_tui.campaign.needs import needs_of
from triage_tui.errors import TriageError
from triage_tui.retry.judging.judge import is_well
from triage_tui.retry.rounds.course import Course, Round
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches, rulefile
from triage_tui.runs.events import read_events
from triage_tui.runs.listing import summarize
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Rung

_UNDONE = ("sideways", "regressed")
_FURTHER = ("progressed", "resolved")
_MAX_RULES = 200
_UNKNOWN = "unknown"


def outcome_of(workspace: Workspace, course: Course, why: str = "") -> Outcome:
    """Return what came of a course with one round at least; `why` is what ended it, "" for what it says."""
    rounds = course.rounds
    first, last = rounds[0], rounds[-1]
    told = summarize(first.run.dir)
    rung: Rung | None = None
    for one in rounds:
        rung = higher(rung, one.verdict.rung if one.verdict is not None else None)
    return Outcome(
        runs=[one.run.run_id for one in rounds],
        word=_word(course),
        rung=rung,
        cause=told.cause if told.cause != _UNKNOWN else "",
        confidence=told.confidence,
        headline=told.headline,
        story=told.story,
        signature=told.signature,
        rules=list(_rules(workspace, rounds))[:_MAX_RULES],
        needs=_needs(last),
        rounds=course.used.rounds,
        ended=why or course.ended,
    )


def _word(course: Course) -> str:
    """Return the verdict that stands at the end: what was taken back is none."""
    last = course.rounds[-1]
    if last.verdict is not None and is_well(last.run, last.verdict):
        return last.verdict.word
    standing = [r.verdict.word for r in course.rounds if r.verdict and r.verdict.word not in _UNDONE]
    if standing:
        return standing[-1]
    if last.verdict is not None:
        return last.verdict.word
    if is_well(last.run, None):
        return HEALTHY
    diagnosis = course.rounds[0].run.diagnosis
    known = diagnosis is not None and any(one.cause != _UNKNOWN for one in diagnosis.hypotheses[:1])
    return DIAGNOSED if known else NOT_DIAGNOSED


def _rules(workspace: Workspace, rounds: list[Round]) -> Iterator[RuleOutcome]:
    """Yield each rule that was approved, with the verdict on the first round that it was active in."""
    by_parent = {one.run.snapshot.parent_run: one for one in rounds if one.run.snapshot.parent_run}
    for one in rounds:
        for event in read_events(one.run.dir)[0]:
            files = event.payload.get("files") if event.kind == "approved" else None
            if not isinstance(files, dict):
                continue
            following = by_parent.get(one.run.run_id)
            for name in files:
                with contextlib.suppress(TriageError):
                    yield _rule(one.run, str(name), following)


def _rule(run: Run, name: str, following: Round | None) -> RuleOutcome:
    text = patches.read_rule(run.dir, name)
    header = rulefile.parse(text).header
    proposals = run.diagnosis.proposals if run.diagnosis is not None else []
    proposal = next((one for one in proposals if name in one.files), None)
    word = following.verdict.word if following is not None and following.verdict is not None else ""
    return RuleOutcome(
        id=header.id,
        file=patches.active_name(name, text),
        sha256=hashlib.sha256(text).hexdigest(),
        template=proposal.template if proposal is not None else "",
        title=proposal.title if proposal is not None else "",
        run=following.run.run_id if following is not None else "",
        helped=word in _FURTHER,
        hurt=word in _UNDONE,
    )


def _needs(last: Round) -> list[Need]:
    return [] if is_well(last.run, last.verdict) else needs_of(last.run)
