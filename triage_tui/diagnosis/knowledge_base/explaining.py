"""Why this and not that: every entry that came near, what of it held, and how its confidence came about."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from triage_tui.diagnosis.cite import Citer, fill
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.facts import Fact, Facts, FailedCall
from triage_tui.diagnosis.hypotheses import AT_MOST, LEAST, Candidate, candidates, weigh_up
from triage_tui.diagnosis.knowledge import KnowledgeBase
from triage_tui.diagnosis.knowledge_base.entries import Entry
from triage_tui.diagnosis.knowledge_base.questions import Part, look_at, look_at_subject, nearest
from triage_tui.diagnosis.matchers import choose
from triage_tui.diagnosis.ranking import reasons_below
from triage_tui.errors import TriageError
from triage_tui.rule_places import origin
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

NEAR = 0.6
"""Share of a subject's tests that some fact has to pass for the entry to have come near."""
MAX_S = 10.0
"""Time for looking at entries; who has so many that it is not enough can name one."""
MOST = 40
"""Entries that are told of."""

Standing = Literal["hypothesis", "candidate", "condition", "subject", "far"]
"""`hypothesis`: it is told in the diagnosis; `candidate`: it fits, but is left out beside better ones;
`condition`: there is a fact that it could be about, but its condition does not hold; `subject`: no fact quite
is what it is about; `far`: none comes near."""


class Step(msgspec.Struct, kw_only=True):
    """One step on the way to a confidence."""

    says: str
    add: float
    held: bool
    value: float
    """The confidence after it."""
    question: Part | None = None
    """The condition of an adjustment."""


class Explained(msgspec.Struct, kw_only=True):
    """What became of one entry in one run."""

    entry: str
    cause: str
    origin: str
    """File of the entry, "" for a shipped one."""
    line: int
    status: str
    standing: Standing
    rank: int = 0
    """Place among the hypotheses, from 1; 0: it is none of them."""
    confidence: float = 0.0
    title: str = ""
    subject: Part
    when: Part | None = None
    steps: list[Step] = []
    below: list[Evidence] = []
    """Why it is ranked below the best."""
    references: list[str] = []
    says: str
    """One sentence on what became of it."""


class Explanation(msgspec.Struct, kw_only=True):
    """All entries that came near in one run, best first."""

    run_id: str
    kb_sha256: str
    entries: list[Explained]
    far: int
    """Entries that did not come near and are not told of."""


def explain(run: Run, base: KnowledgeBase, entry_id: str | None = None) -> Explanation:
    """Say of each entry that came near in `run`, or of the one named, what held and what it was worth.

    Raises:
        TriageError: there is no such entry.
    """
    facts = gather(run, base.causality)
    found = candidates(facts, base)
    chosen = weigh_up(found, base)
    citer = Citer(run)
    wanted = [entry for entry in base.entries if entry_id in (None, entry.id)]
    if not wanted:
        ids = [entry.id for entry in base.entries]
        off = next((one for one in base.disabled if one.id == entry_id), None)
        if off is not None:
            where = f"{safe_line(off.file, 300)}:{off.line}"
            raise TriageError(f"the entry {entry_id} is switched off by {where} (status: disabled)")
        raise TriageError(f"there is no entry {entry_id!r} in the knowledge base; {choose(entry_id, ids)}")
    until = time.monotonic() + MAX_S
    told: list[Explained] = []
    for entry in sorted(wanted, key=lambda entry: not entry.shipped):
        if time.monotonic() > until:
            break
        told.append(_explained(entry, facts, found, chosen, citer))
    near = [one for one in told if entry_id is not None or one.standing != "far"]
    order: tuple[Standing, ...] = ("hypothesis", "candidate", "condition", "subject", "far")
    near.sort(key=lambda one: (order.index(one.standing), one.rank, -one.confidence, one.entry))
    return Explanation(
        run_id=run.run_id,
        kb_sha256=base.sha256,
        entries=near[:MOST],
        far=len(wanted) - len(near[:MOST]),
    )


def _explained(
    entry: Entry, facts: Facts, found: list[Candidate], chosen: list[Candidate], citer: Citer
) -> Explained:
    mine = [candidate for candidate in found if candidate.entry is entry]
    ranks = [index for index, candidate in enumerate(chosen, 1) if candidate.entry is entry]
    if mine:
        candidate = chosen[ranks[0] - 1] if ranks else mine[0]
        return _fitting(candidate, ranks[0] if ranks else 0, facts, chosen, citer)
    subjects = entry.subject.find(facts, {"end": facts.end})
    # Of several the one that matters most, as in a diagnosis.
    subject = max(subjects, key=lambda fact: (_relevance(fact), fact.seq), default=None)
    part = look_at_subject(entry.subject, facts, subject, citer)
    view = Explained(
        entry=entry.id,
        cause=entry.cause,
        origin="" if entry.shipped else origin(entry.file),
        line=entry.line,
        status=entry.status,
        standing="far",
        subject=part,
        references=list(entry.references),
        says="no fact of the run is near to what it is about",
    )
    if subject is not None:
        view.standing = "condition"
        view.says = "there is a fact that it could be about, but its condition does not hold"
        if entry.when is not None:
            bindings = {"subject": subject, "end": facts.end}
            view.when = look_at(entry.when, facts, bindings, citer)
    elif (near := nearest(entry.subject, facts, {"end": facts.end})) is not None:
        asked = len(entry.subject.tests) + 1
        if (asked - len(near[1])) / asked >= NEAR and len(near[1]) <= max(1, asked // 2):
            view.standing = "subject"
            view.says = "no fact is quite what it is about"
    return view


def _fitting(
    candidate: Candidate, rank: int, facts: Facts, chosen: list[Candidate], citer: Citer
) -> Explained:
    entry = candidate.entry
    bindings: dict[str, Fact] = {"subject": candidate.subject, "end": facts.end}
    when = look_at(entry.when, facts, bindings, citer) if entry.when is not None else None
    best = chosen[0]
    says = "it comes first" if rank == 1 else f"it is number {rank}"
    if not rank:
        says = "it fits, but is left out: better ones say the same, or explain the run well enough"
    return Explained(
        entry=entry.id,
        cause=entry.cause,
        origin="" if entry.shipped else origin(entry.file),
        line=entry.line,
        status=entry.status,
        standing="hypothesis" if rank else "candidate",
        rank=rank,
        confidence=candidate.confidence,
        title=fill(entry.title, candidate.bindings, citer) or entry.id,
        subject=look_at_subject(entry.subject, facts, candidate.subject, citer),
        when=when,
        steps=_steps(candidate, facts, bindings, citer),
        below=reasons_below(best, candidate, citer) if candidate is not best else [],
        references=list(entry.references),
        says=says,
    )


def _steps(candidate: Candidate, facts: Facts, bindings: dict[str, Fact], citer: Citer) -> list[Step]:
    """Return how the confidence came about: base, tie to the end, each adjustment, what bounds the sum."""
    entry = candidate.entry
    value = entry.base
    steps = [Step(says="such a finding by itself", add=entry.base, held=True, value=round(value, 3))]
    if entry.per_relevance:
        add = entry.per_relevance * candidate.relevance
        value += add
        reasons = candidate.subject.reasons if isinstance(candidate.subject, FailedCall) else ()
        because = f": {', '.join(reasons)}" if reasons else ""
        says = f"tie to the end, {entry.per_relevance:.2f} of relevance {candidate.relevance:.2f}{because}"
        steps.append(Step(says=says, add=round(add, 3), held=True, value=round(value, 3)))
    for change in entry.adjust:
        question = look_at(change.when, facts, bindings, citer)
        value += change.add if question.held else 0.0
        steps.append(
            Step(
                says=change.says,
                add=change.add,
                held=question.held,
                value=round(value, 3),
                question=question,
            )
        )
    bound = {
        "ceiling": f"never more than {entry.ceiling:.2f}",
        "floor": f"never less than {LEAST:.2f}",
        "irrelevant": f"its call hardly matters for the end, so at most {AT_MOST:.2f}",
    }.get(candidate.bound)
    # What a rival or the calibration took comes after the bounds.
    bounded = round(candidate.confidence - sum(change.add for change in candidate.taken), 2)
    if bound is not None:
        steps.append(Step(says=bound, add=round(bounded - value, 3), held=True, value=bounded))
    for taken in candidate.taken:
        bounded = round(bounded + taken.add, 2)
        steps.append(Step(says=taken.says, add=taken.add, held=True, value=bounded))
    return steps


def _relevance(fact: Fact) -> float:
    return fact.relevance if isinstance(fact, FailedCall) else 0.0
