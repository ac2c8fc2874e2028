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
from triage_tui.rulebook import patches, rulefile
from triage_tui.rulebook.statistics import HELPED, HURT
from triage_tui.runs.events import read_events
from triage_tui.runs.listing import summarize
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Rung

_UNDONE = ("sideways", "regressed")
"""Verdicts after which a policy takes back what it approved."""
_MAX_RULES = 200
_UNKNOWN = "unknown"


def outcome_of(course: Course, why: str = "") -> Outcome:
    """Return what came of a course with one round at least; `why` is what ended it, "" for what it says."""
    rounds = course.rounds
    first = rounds[0]
    told = summarize(first.run.dir)
    return Outcome(
        runs=[one.run.run_id for one in rounds],
        word=_word(course),
        rung=_rung(rounds),
        taken_back=_is_undone(rounds, rounds[-1]),
        cause=told.cause if told.cause != _UNKNOWN else "",
        confidence=told.confidence,
        acted=sum(hit.hits > 0 for hit in first.run.snapshot.rule_hits),
        headline=told.headline,
        story=told.story,
        signature=told.signature,
        rules=list(_rules(rounds))[:_MAX_RULES],
        needs=_needs(_standing_round(rounds)),
        rounds=course.used.rounds,
        ended=why or course.ended,
    )


def _word(course: Course) -> str:
    """Return the verdict that stands at the end: what was taken back is none, unless there is no other."""
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


def _rung(rounds: list[Round]) -> Rung | None:
    """Return the highest rung of rounds that stand; of one that was taken back, where it was before."""
    rung: Rung | None = None
    for one in rounds:
        if one.verdict is not None:
            undone = _is_undone(rounds, one)
            rung = higher(rung, one.verdict.before.rung if undone else one.verdict.rung)
    return rung


def _is_undone(rounds: list[Round], one: Round) -> bool:
    """Tell whether the rule of a round was taken back, so that the target is as it was before."""
    if one.verdict is None or one.verdict.word not in _UNDONE:
        return False
    before = _before(rounds, one)
    # A course whose rule cannot be taken back ends there, with the rule still noted as active.
    return one is not rounds[-1] or (before is not None and before.approved is None)


def _before(rounds: list[Round], one: Round) -> Round | None:
    return next((r for r in rounds if r.run.run_id == one.run.snapshot.parent_run), None)


def _standing_round(rounds: list[Round]) -> Round:
    """Return the round that the target stands at: what a round needs that was taken back, nobody needs."""
    last = rounds[-1]
    before = _before(rounds, last)
    return before if before is not None and _is_undone(rounds, last) else last


def _rules(rounds: list[Round]) -> Iterator[RuleOutcome]:
    """Yield each rule that was approved, with the verdict on the first round that it was active in."""
    for one in rounds:
        for event in read_events(one.run.dir)[0]:
            files = event.payload.get("files") if event.kind == "approved" else None
            if not isinstance(files, dict):
                continue
            for name in files:
                with contextlib.suppress(TriageError):
                    yield _rule(one.run, str(name), rounds)


def _rule(run: Run, name: str, rounds: list[Round]) -> RuleOutcome:
    text = patches.read_rule(run.dir, name)
    sha256 = hashlib.sha256(text).hexdigest()
    header = rulefile.parse(text).header
    proposals = run.diagnosis.proposals if run.diagnosis is not None else []
    proposal = next((one for one in proposals if name in one.files), None)
    # A run is retried once for each rule that is tried on it: the round of this one is that which had it.
    tried = [
        (one, hits)
        for one in rounds
        if one.run.snapshot.parent_run == run.run_id
        and (hits := [hit.hits for hit in one.run.snapshot.rule_hits if hit.sha256 == sha256])
    ]
    following, hits = tried[0] if tried else (None, [])
    verdict = following.verdict.word if following is not None and following.verdict is not None else ""
    # What a rule did that acted at no call, it did not do.
    word = verdict if any(hits) else ""
    return RuleOutcome(
        id=header.id,
        file=patches.active_name(name, text),
        sha256=sha256,
        template=proposal.template if proposal is not None else "",
        title=proposal.title if proposal is not None else "",
        run=following.run.run_id if following is not None else "",
        helped=word in HELPED,
        hurt=word in HURT,
    )


def _needs(at: Round) -> list[Need]:
    return [] if is_well(at.run, at.verdict) else needs_of(at.run)
