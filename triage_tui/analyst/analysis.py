"""A run looked at by a model, from the first question to the diagnosis with its second opinion.

What is there when the work ends early (a budget, a failure, a person's wish) is kept. The only files that are
written are those of the analysis, the proposed rules and the diagnosis of the run itself; a rule is proposed,
never made active.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from triage_tui.analyst import merging, rules
from triage_tui.analyst.adapter import Client
from triage_tui.analyst.briefing import Briefing, Notes, prompt_values
from triage_tui.analyst.budget import Spending
from triage_tui.analyst.citing import cite
from triage_tui.analyst.journal import ANSWERS_FILE, DIAGNOSIS_BEFORE, Journal
from triage_tui.analyst.prompts import Prompts
from triage_tui.analyst.replies import Hypotheses, ModelHypothesis, ReplyError, WantedRule
from triage_tui.analyst.service import Analyst, Toolbox
from triage_tui.analyst.session import Session
from triage_tui.analyst.settings import ModelSettings
from triage_tui.analyst.tried import told_rounds
from triage_tui.diagnosis.cite import inert
from triage_tui.diagnosis.facts import Facts
from triage_tui.diagnosis.knowledge import CAUSES
from triage_tui.diagnosis.report import diagnose, facts_of, write_report
from triage_tui.errors import Conflict, Stopped, TriageError
from triage_tui.runs.analysis_model import Outcome, Progress
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis, Proposal
from triage_tui.runs.events import append_event
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.redaction import Redaction
from triage_tui.text import number_of, safe_line

_MAX_WANTED = 6


class _Work(msgspec.Struct):
    """What an analysis has come to so far."""

    run: Run
    facts: Facts
    notes: Notes = msgspec.field(default_factory=Notes)
    wanted: list[ModelHypothesis] = msgspec.field(default_factory=list)
    found: list[Hypothesis] = msgspec.field(default_factory=list)
    proposed: list[tuple[int, Proposal]] = msgspec.field(default_factory=list)
    dropped: list[str] = msgspec.field(default_factory=list)
    unsupported: int = 0
    invented: int = 0


def analyze(
    run: Run,
    settings: ModelSettings,
    *,
    toolbox: Toolbox | None = None,
    redaction: Redaction | None = None,
    tell: Callable[[str], None] = lambda line: None,
    cancel: threading.Event | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Ask the model about a run and add what it says to the run's diagnosis.

    With `toolbox` the model may look things up; `redaction` masks what is sent, by default the secrets of
    the run; `tell` gets one line per step, `watch` how far it is about once a second; `cancel` ends the work.

    Raises:
        TriageError: nothing came of it at all: says why, and where the record of the attempt is.
    """
    prompts = Prompts(settings.prompts)
    facts = facts_of(run)
    # Before anything is written: without the library, or a price, there is nothing to record.
    with Client(settings, cancel) as client:
        if settings.budget.money is not None and not client.has_price:
            raise TriageError(
                f"the price of {safe_line(settings.model, 80)} is not known, so a budget of money cannot"
                " hold: set `price` in model.yaml, or leave money away"
            )
        journal = Journal(run.dir, settings.model)
        session = Session(
            client=client,
            journal=journal,
            spending=Spending(settings.budget),
            redaction=redaction or Redaction.of(run),
            request_seconds=settings.request_seconds,
            tell=tell,
            cancel=cancel,
            watch=watch,
        )
        for problem in prompts.check(prompt_values()):
            session.tell(problem)
        before = _diagnosis_without_model(run)
        analyst = Analyst(session, Briefing.of(run, facts, before, prompts, session.redaction))
        work = _Work(run, facts)
        failure: TriageError | None = None
        try:
            _work(analyst, session, toolbox, work)
        except TriageError as error:
            failure = error
    ended = str(failure) if failure is not None else "done"
    journal.add("end", "", outcome=safe_line(ended, 600))
    outcome = _outcome(settings, session, work, ended, failure is None)
    journal.keep(ANSWERS_FILE, outcome)
    if not work.found:
        if failure is not None:
            kind = Stopped if isinstance(failure, Stopped) else TriageError
            raise kind(f"{ended}; the diagnosis is as it was, and the steps are in {journal.name} of the run")
        return outcome
    _publish(run, journal, work, outcome)
    return outcome


def _work(analyst: Analyst, session: Session, toolbox: Toolbox | None, work: _Work) -> None:
    """Go through the phases. What each comes to is in `work` at once, so that it stays when a later one
    fails.
    """
    try:
        work.notes.classification = analyst.classify()
    except ReplyError as error:
        # This and the next only prepare the answer.
        session.tell(f"{error}; going on without it")
    try:
        if toolbox is not None:
            work.notes.findings = analyst.collect(toolbox, work.notes)
    except ReplyError as error:
        session.tell(f"{error}; going on without it")
    rounds = told_rounds(work.run, work.run.dir.parent)
    found = analyst.refine(work.notes, rounds) if rounds else analyst.hypothesize(work.notes)
    _take(work, session, found)
    for index, hypothesis in enumerate(work.found):
        wanted = work.wanted[index].proposal
        if wanted is None and index == 0 and not _needs_no_rule(hypothesis):
            wanted = _wanted(analyst, work, index)
        if wanted is not None:
            _propose(analyst, session, work, index, wanted)


def _needs_no_rule(hypothesis: Hypothesis) -> bool:
    return hypothesis.cause in ("normal_exit", "network_wait", "unknown", "config_error", "arguments")


def _wanted(analyst: Analyst, work: _Work, index: int) -> WantedRule | None:
    reply = analyst.propose(work.wanted[index])
    if reply.proposal is None:
        work.dropped.append(f"no rule is proposed: {inert(reply.reason or 'no reason is given', 300)}")
    return reply.proposal


def _propose(analyst: Analyst, session: Session, work: _Work, index: int, wanted: WantedRule) -> None:
    """Make a proposal of what the model wants; what does not fit is repaired once, else dropped."""
    try:
        proposal = rules.build(work.run, work.facts, index, work.found[index], wanted)
    except rules.Unfit as unfit:
        session.tell(f"propose: {unfit}; asking for a repair")
        work.dropped.append(f"a rule was refused: {unfit}")
        try:
            mended = analyst.repair(wanted, str(unfit)).proposal
            if mended is None:
                return
            proposal = rules.build(work.run, work.facts, index, work.found[index], mended)
        except (rules.Unfit, ReplyError) as error:
            work.dropped.append(f"its repair was refused: {error}")
            session.tell(f"repair: {error}; the rule is dropped")
            return
        work.dropped.pop()
        wanted = mended
    if unused := rules.unused_parameters(work.run, work.facts, wanted):
        work.dropped.append(f"of a proposal the record or the template decides: {', '.join(unused)}")
    if rules.is_of_knowledge_base(work.run, proposal):
        work.dropped.append(f"as already proposed by the knowledge base: {proposal.title}")
    if all(proposal.files != other.files or proposal.id != other.id for _, other in work.proposed):
        work.proposed.append((index, proposal))


def _take(work: _Work, session: Session, reply: Hypotheses) -> None:
    """Turn the model's hypotheses into ours: known causes, links that resolve, capped confidence."""
    run = work.run
    pairs: list[tuple[Hypothesis, ModelHypothesis]] = []
    work.dropped += [inert(text, 300) for text in reply.left_out]
    for one in reply.hypotheses:
        if one.cause not in CAUSES:
            work.dropped.append(f"a hypothesis was left out: {inert(one.cause, 60)!r} is no known cause")
            continue
        support = cite(run, one.claims, session.redaction)
        against = cite(run, one.contrary, session.redaction)
        work.unsupported += support.unsupported + against.unsupported
        work.invented += support.invented + against.invented
        told = Hypothesis(
            cause=one.cause,
            proximate=one.proximate if one.proximate in CAUSES else one.cause,
            confidence=merging.capped(one.confidence, supported=support.supported),
            title=inert(one.title, 200) or one.cause,
            explanation=support.explanation,
            evidence=support.evidence,
            contrary=against.evidence,
            wanted=[inert(text, 300) for text in one.wanted[:_MAX_WANTED]],
            source="model",
            model=safe_line(session.journal.model, 120),
        )
        pairs.append((told, one))
    pairs.sort(key=lambda pair: -pair[0].confidence)
    work.found = [told for told, _ in pairs]
    work.wanted = [one for _, one in pairs]


def _diagnosis_without_model(run: Run) -> Diagnosis:
    """Return what the knowledge base says; a run that was not diagnosed yet is, without writing it."""
    return merging.without_model(run.diagnosis) if run.diagnosis is not None else diagnose(run)


def _outcome(settings: ModelSettings, session: Session, work: _Work, ended: str, complete: bool) -> Outcome:
    spent = session.spending
    return Outcome(
        run_id=work.run.run_id,
        model=settings.model,
        analysis=session.journal.name,
        ended=ended,
        complete=complete,
        steps=spent.steps,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        money=round(spent.money, 6),
        priced=spent.priced,
        seconds=round(spent.seconds, 3),
        unsupported=work.unsupported,
        invented=work.invented,
        hypotheses=work.found,
        proposals=[proposal for _, proposal in work.proposed],
        dropped=work.dropped,
    )


def _publish(run: Run, journal: Journal, work: _Work, outcome: Outcome) -> None:
    """Write the diagnosis with the model's part; the one before is kept beside the analysis."""
    # It took a while: what others wrote meanwhile stays.
    now = load_run(run.dir)
    before = _diagnosis_without_model(now)
    journal.keep(DIAGNOSIS_BEFORE, before)
    diagnosis = merging.merge(before, work.found, work.proposed, journal.name)
    write_report(now, diagnosis)
    payload: dict[str, Any] = {
        "model": safe_line(outcome.model, 120),
        "analysis": journal.name,
        "causes": [one.cause for one in work.found],
        "unsupported": outcome.unsupported,
        "invented": outcome.invented,
        "tokens": outcome.tokens_in + outcome.tokens_out,
    }
    append_event(run.dir, "analyzed", payload)
    if work.proposed:
        # Where somebody has decided already the state stays theirs.
        with contextlib.suppress(Conflict):
            append_event(
                run.dir,
                "proposed",
                {"proposals": [proposal.id for _, proposal in work.proposed], "by": "model"},
                expect_state=("captured", "diagnosed", "proposed"),
            )


def in_words(outcome: Outcome) -> str:
    """Return one sentence on what an analysis came to and took."""
    found = number_of(len(outcome.hypotheses), "hypothesis", "hypotheses")
    rules_ = number_of(len(outcome.proposals), "proposal")
    money = f", {outcome.money:.4f} (money)" if outcome.priced and outcome.money else ""
    text = f"{found} and {rules_} by {outcome.model} after {number_of(outcome.steps, 'step')}"
    text += f" ({outcome.tokens_in + outcome.tokens_out} tokens, {outcome.seconds:.1f} s{money})"
    if outcome.invented:
        text += f"; it names {number_of(outcome.invented, 'id')} that the record has not, marked so"
    if outcome.unsupported:
        text += f"; {number_of(outcome.unsupported, 'claim')} without evidence, marked so"
    return text if outcome.complete else f"{text}; it ended early: {outcome.ended}"
