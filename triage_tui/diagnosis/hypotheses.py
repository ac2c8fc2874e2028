"""From facts and knowledge to ranked hypotheses, each claim with its evidence."""

from __future__ import annotations

import time

import msgspec

from triage_tui.diagnosis.cite import Citer, fill, inert
from triage_tui.diagnosis.facts import (
    Fact,
    Facts,
    FailedCall,
    Identity,
    LoopCall,
    LoopFact,
    Message,
    Polled,
    Sleep,
    Wait,
)
from triage_tui.diagnosis.knowledge import Entry, KnowledgeBase
from triage_tui.diagnosis.logs_of_others import said_elsewhere
from triage_tui.diagnosis.memory_facts import memory_about
from triage_tui.diagnosis.ranking import reasons_below
from triage_tui.diagnosis.rivals import SAYS, losses
from triage_tui.diagnosis.scenes import proximate_of
from triage_tui.diagnosis.signature import cause_signature
from triage_tui.rule_places import origin
from triage_tui.runs.contradictions import contradicted_end
from triage_tui.runs.diagnosis_model import Evidence, Hypothesis
from triage_tui.runs.reader import Run

MAX_SUBJECTS = 8
"""Facts of a run that one entry may be about; the most relevant ones."""

MAX_OWN_S = 3.0
"""Time for a person's own entries; a hundred of them take a tenth of a second."""

MAX_HYPOTHESES = 6
MAX_PER_CAUSE = 2
MAX_EVIDENCE = 8
FLOOR = 0.12
"""Hypotheses below this confidence are not shown when there is a better one."""


EXPLAINED = 0.5
"""From this confidence of the best hypothesis on, "nothing explains it" would be untrue."""

IRRELEVANT = 0.15
"""A failed call of less relevance than this explains nothing, whatever its kind."""

MEASURED = "such answers were right less often on labelled runs"

LEAST = 0.02
"""The least confidence of what is said at all."""

PARTIAL = 0.7
"""The most that a claim is worth when calls before the end are missing: one of them may explain more."""

LACKING = "calls before the end are missing in the record, and one of them may explain more"
CONTRADICTED = "the calls before the end contradict what the record says of it"

AT_MOST = 0.11
"""Confidence that is left to it: below `FLOOR`."""


class Change(msgspec.Struct, frozen=True):
    """An adjustment that applied: what it added, and the fact that it applied for."""

    add: float
    says: str
    fact: Fact | None


class Candidate(msgspec.Struct):
    """A hypothesis in the making, with the facts behind it."""

    entry: Entry
    subject: Fact
    confidence: float
    bindings: dict[str, Fact]
    support: list[tuple[Fact, str]] = msgspec.field(default_factory=list)
    against: list[tuple[Fact | None, str]] = msgspec.field(default_factory=list)
    changes: list[Change] = msgspec.field(default_factory=list)
    """How the confidence came about, after `base + per_relevance * relevance` of the entry."""
    bound: str = ""
    """What ended the sum: "irrelevant" (its call matters too little), "ceiling", "floor", "" for nothing."""
    taken: list[Change] = msgspec.field(default_factory=list)
    """What was taken from the sum then: by a rival, and by the calibration."""

    @property
    def relevance(self) -> float:
        """Relevance of the subject, 0 for one that has none."""
        return _relevance(self.subject)


def _relevance(fact: Fact) -> float:
    return fact.relevance if isinstance(fact, FailedCall) else 0.0


def candidates(facts: Facts, knowledge: KnowledgeBase, problems: list[str] | None = None) -> list[Candidate]:
    """Return what the knowledge base says about `facts`, most confident first.

    A person's entries are asked after the shipped ones, for so long that nobody waits for thousands of them;
    that some were not asked is told in `problems`.
    """
    found = [one for entry in knowledge.entries if entry.shipped for one in candidates_of(entry, facts)]
    own = [entry for entry in knowledge.entries if not entry.shipped]
    until = time.monotonic() + MAX_OWN_S
    for number, entry in enumerate(own):
        if time.monotonic() > until:
            left = (
                f"{len(own) - number} of {len(own)} entries of your own, from {entry.id} on, were not asked"
            )
            if problems is not None:
                problems.append(f"{left}: the others took longer than {MAX_OWN_S:.0f} s")
            break
        found += candidates_of(entry, facts)
    return sorted(found, key=lambda candidate: -candidate.confidence)


def candidates_of(entry: Entry, facts: Facts) -> list[Candidate]:
    """Return what one entry says about `facts`: one candidate for each fact that it could be about."""
    subjects = sorted(
        entry.subject.find(facts, {"end": facts.end}), key=lambda fact: (_relevance(fact), fact.seq)
    )
    tried = (_try(entry, subject, facts) for subject in subjects[-MAX_SUBJECTS:])
    return [candidate for candidate in tried if candidate is not None]


def _try(entry: Entry, subject: Fact, facts: Facts) -> Candidate | None:
    bindings: dict[str, Fact] = {"subject": subject, "end": facts.end}
    support: list[tuple[Fact, str]] = [(subject, "")]
    if isinstance(subject, FailedCall) and subject.named_by is not None:
        support.append((subject.named_by, ""))
    if entry.when is not None:
        answer = entry.when.check(facts, bindings)
        if answer is None:
            return None
        support += [(fact, "") for fact in answer]
    confidence = entry.base + entry.per_relevance * _relevance(subject)
    against: list[tuple[Fact | None, str]] = []
    changes: list[Change] = []
    for change in entry.adjust:
        answer = change.when.check(facts, bindings)
        if answer is None:
            continue
        confidence += change.add
        changes.append(Change(change.add, change.says, answer[-1] if answer else None))
        if change.add >= 0:
            support += [(fact, change.says) for fact in answer[-1:]]
        else:
            against.append((answer[-1] if answer else None, change.says))
    if isinstance(subject, FailedCall) and entry.per_relevance and subject.relevance < IRRELEVANT:
        confidence = min(confidence, AT_MOST)
        bound = "irrelevant"
    elif confidence > entry.ceiling:
        bound = "ceiling"
    else:
        bound = "floor" if confidence < LEAST else ""
    support += [(fact, "") for fact in said_elsewhere(facts, subject)]
    support += [(fact, "") for fact in memory_about(facts, subject)]
    return Candidate(
        entry=entry,
        subject=subject,
        confidence=round(max(LEAST, min(entry.ceiling, confidence)), 2),
        bindings=bindings,
        support=support,
        against=against,
        changes=changes,
        bound=bound,
    )


def select(found: list[Candidate]) -> list[Candidate]:
    """Return the candidates worth showing: the best per object, few per cause, none without weight."""
    chosen: list[Candidate] = []
    seen: set[tuple[str, str]] = set()
    per_cause: dict[str, int] = {}
    for candidate in found:
        subject = candidate.subject
        name = str(subject.seq)
        if isinstance(subject, FailedCall) and subject.absolute:
            # A library is one thing, in however many directories it was looked for.
            name = subject.base if subject.resource == "library" else subject.absolute
        elif isinstance(subject, Message) or (
            isinstance(subject, FailedCall) and subject.operation == "trace"
        ):
            name = candidate.entry.id
        key = (candidate.entry.cause, name)
        cause = candidate.entry.cause
        if key in seen:
            _prefer_later(chosen, candidate, name)
        if key in seen or per_cause.get(cause, 0) >= MAX_PER_CAUSE:
            continue
        if chosen and (candidate.confidence < FLOOR or chosen[-1].entry.cause == "unknown"):
            break
        if chosen and cause == "unknown" and chosen[0].confidence >= EXPLAINED:
            continue
        seen.add(key)
        per_cause[cause] = per_cause.get(cause, 0) + 1
        chosen.append(candidate)
    return chosen[:MAX_HYPOTHESES]


def _prefer_later(chosen: list[Candidate], other: Candidate, name: str) -> None:
    """Of lookups of one library that say as much, let the last one speak for all."""
    for index, one in enumerate(chosen):
        subject, later = one.subject, other.subject
        alike = (one.entry, one.confidence) == (other.entry, other.confidence)
        if alike and isinstance(subject, FailedCall) and subject.base == name and later.seq > subject.seq:
            chosen[index] = other


def build(candidate: Candidate, facts: Facts, citer: Citer) -> Hypothesis:
    """Write one hypothesis out: every sentence cites, and what cannot be cited is marked."""
    entry = candidate.entry
    sentences = [fill(text, candidate.bindings, citer) for text in entry.explanation]
    return Hypothesis(
        cause=entry.cause,
        proximate=entry.proximate or proximate_of(facts, entry.cause),
        confidence=candidate.confidence,
        title=fill(entry.title, candidate.bindings, citer) or entry.id,
        explanation=" ".join(sentence for sentence in sentences if sentence),
        evidence=_evidence(candidate.support, citer),
        contrary=[
            citer.evidence(fact, says)
            for fact, says in ((fact or facts.end, says) for fact, says in candidate.against)
        ],
        wanted=[text for wish in entry.wanted if (text := fill(wish, candidate.bindings, citer))],
        entry=entry.id,
        parameters=parameters(candidate.subject, candidate.bindings),
        proposals=list(entry.proposals),
        origin=origin(entry.file) if not entry.shipped else "",
    )


def _evidence(support: list[tuple[Fact, str]], citer: Citer) -> list[Evidence]:
    result: list[Evidence] = []
    seen: set[str] = set()
    for fact, says in support:
        evidence = citer.evidence(fact, says)
        key = evidence.link or evidence.says
        if key not in seen:
            seen.add(key)
            result.append(evidence)
    return result[:MAX_EVIDENCE]


def parameters(subject: Fact, bindings: dict[str, Fact]) -> dict[str, str]:
    """Return what a proposal template may need to know about the hypothesis, as text."""
    found: dict[str, str] = {"seq": str(subject.seq)}
    if isinstance(subject, FailedCall):
        found |= {
            "syscalls": subject.names,
            "operation": subject.operation,
            "errno": subject.errno,
            "path": subject.path,
            "absolute": subject.absolute,
            "directory": subject.absolute if subject.directory else subject.parent,
            "resource": subject.resource,
            "request": subject.request,
            "request_number": str(subject.number) if subject.number else "",
            "first_argument": subject.first_argument,
            "base": subject.base,
            "interface": subject.interface,
            "peer": subject.peer,
            "origin": subject.origin,
            "detail": subject.detail,
            "creates": "yes" if subject.creates else "",
            "writes": "yes" if subject.writes else "",
            "option": subject.option,
            "lifted_by": subject.lifted_by,
            "startable": "yes" if subject.startable else "",
        }
    elif isinstance(subject, Identity):
        found |= {"syscalls": subject.names, "value": str(subject.value)}
    elif isinstance(subject, LoopCall):
        found |= {
            "syscalls": subject.name,
            "operation": subject.operation,
            "path": subject.path,
            "absolute": subject.path,
            "detail": subject.detail,
            "result": str(subject.ret),
            "opened_by": subject.opened_by,
        }
    elif isinstance(subject, LoopFact):
        found["syscalls"] = subject.names
    elif isinstance(subject, Wait | Sleep):
        found["syscalls"] = subject.name
    elif isinstance(subject, Message):
        found["text"] = inert(subject.text, 300)
    variable = subject if isinstance(subject, Polled) else bindings.get("flag")
    if isinstance(variable, Polled):
        found |= {
            "syscalls": variable.call,
            "variable": f"{variable.address:#x}",
            "variable_file": variable.module,
            "variable_offset": str(variable.offset) if variable.module else "",
            "variable_file_sha256": variable.sha256,
            "variable_size": str(variable.size),
            "variable_value": str(variable.ends) if variable.ends >= 0 else "",
            "variable_from": str(variable.nth),
        }
    related = bindings.get("object")
    if isinstance(related, FailedCall) and related is not subject:
        found |= {f"object_{name}": value for name, value in parameters(related, {}).items()}
    return {name: value for name, value in found.items() if value}


def weigh_up(found: list[Candidate], knowledge: KnowledgeBase) -> list[Candidate]:
    """Return the candidates worth showing, best first, each as sure as the others and measuring allow.

    The confidences of those that are returned are changed.
    """
    chosen = select(found)
    for candidate, (loss, rival) in zip(chosen, losses(chosen), strict=True):
        if loss:
            _take(candidate, candidate.confidence - loss, SAYS, rival)
            candidate.against.append((rival, SAYS))
    for candidate in chosen:
        # "unknown" is no claim about the run, so there is no share of right ones.
        if candidate.entry.cause != "unknown":
            _take(candidate, knowledge.calibration.of(candidate.confidence), MEASURED, None)
    return sorted(chosen, key=lambda candidate: -candidate.confidence)


def _take(candidate: Candidate, left: float, says: str, fact: Fact | None) -> None:
    left = round(max(LEAST, left), 2)
    if left < candidate.confidence:
        candidate.taken.append(Change(round(left - candidate.confidence, 2), says, fact))
        candidate.confidence = left


def hypothesize(
    run: Run, facts: Facts, knowledge: KnowledgeBase, problems: list[str] | None = None
) -> tuple[list[Hypothesis], list[Candidate]]:
    """Return the hypotheses, best first, and the candidates they were made from in the same order.

    What of the knowledge base could not be asked is told in `problems`.
    """
    citer = Citer(run)
    chosen = weigh_up(candidates(facts, knowledge, problems), knowledge)
    doubts = [LACKING] * bool(run.history_lacks) + [CONTRADICTED] * bool(contradicted_end(run.snapshot))
    for doubt in doubts:
        for candidate in chosen:
            candidate.against.append((None, doubt))
            _take(candidate, min(PARTIAL, candidate.confidence), doubt, None)
    hypotheses = [build(candidate, facts, citer) for candidate in chosen]
    for hypothesis in hypotheses:
        hypothesis.signature = cause_signature(hypothesis.cause, hypothesis.parameters, run.snapshot)
    for hypothesis, candidate in zip(hypotheses[1:], chosen[1:], strict=True):
        hypothesis.below = reasons_below(chosen[0], candidate, citer)
    return hypotheses, chosen
