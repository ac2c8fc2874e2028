"""The diagnosis of a run: made, and written into the run directory."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from triage_tui.diagnosis.cite import Citer, ago, inert
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.derivation import derive
from triage_tui.diagnosis.experiments import SURE, suggest
from triage_tui.diagnosis.facts import Child, Facts, FailedCall, LoopFact, Message
from triage_tui.diagnosis.hypotheses import Candidate, hypothesize
from triage_tui.diagnosis.knowledge import KnowledgeBase
from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE, left_out, switched_off
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.scenes import full_scene
from triage_tui.errors import TriageError
from triage_tui.language.catalogue import ENGLISH_CATALOGUE, Catalogue
from triage_tui.language.choice import wanted_language
from triage_tui.rule_places import check_directories
from triage_tui.runs.contradictions import contradicted_end
from triage_tui.runs.diagnosis_model import (
    Diagnosis,
    Experiment,
    Hypothesis,
)
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import encode_json

DOUBT = 0.4
"""Below this confidence the answer counts as unknown, and the next experiment is named."""


HARDLY = 0.6
"""Below this confidence it is not said without a "perhaps" that a program is healthy."""

MAX_RECORD_PROBLEMS = 20


def check_knowledge() -> list[str]:
    """Read the knowledge base, so that no guest is run for nothing; return what there is to tell about it.

    Raises:
        TriageError: what shipped has a mistake, or a directory that the environment names is not there.
    """
    check_directories()
    IN_FORCE.current()
    return IN_FORCE.news()


def facts_of(run: Run) -> Facts:
    """Return the facts of `run`, weighed as the knowledge base weighs them.

    Raises:
        TriageError: the knowledge base has a mistake.
    """
    return gather(run, IN_FORCE.current().causality)


def diagnose(run: Run, knowledge: KnowledgeBase | None = None, *, anyway: bool = False) -> Diagnosis:
    """Say why `run` stopped. Reads the run only; nothing is written.

    With `anyway` experiments are named even where the cause is sure.

    Raises:
        TriageError: the knowledge base has a mistake (file, entry and key are named).
    """
    base = knowledge or IN_FORCE.current()
    facts = gather(run, base.causality)
    problems = [*left_out(base.mistakes), *switched_off(base)]
    hypotheses, chosen = hypothesize(run, facts, base, problems)
    best = hypotheses[0]
    unknown = best.cause == "unknown" or best.confidence < DOUBT
    kinds = [one.entry.experiments for one in chosen]
    experiments = suggest(run, facts, hypotheses, kinds, anyway=anyway)
    scene_kind, derivation = derive(facts, chosen[0], Citer(run))
    return Diagnosis(
        run_id=run.run_id,
        scene=full_scene(facts, best.cause),
        scene_kind=scene_kind,
        derivation=derivation,
        healthy=chosen[0].entry.healthy and not unknown,
        headline=headline(run, facts, best, chosen[0]),
        hypotheses=hypotheses,
        kb_sha256=base.sha256,
        kb_problems=problems,
        # All of it has been read by now.
        record_problems=[one for one in run.problems if one != run.diagnosis_problem][:MAX_RECORD_PROBLEMS],
        unknown_next=next_experiment(facts, hypotheses, experiments) if unknown else None,
        experiments=experiments,
    )


def _what_happens(run: Run, facts: Facts) -> str:
    end = facts.end
    gone = run.snapshot.trigger.ended
    if end.reason == "emulator":
        return f"ends because {inert(end.cite, 300)}"
    if end.reason == "exit":
        return f"ended with exit({end.code})" if gone else f"is about to exit({end.code})"
    if end.killed_by:
        by = "it sent itself" if end.killed_by == end.pid else f"process {end.killed_by} sent"
        return f"was killed by {inert(end.signal, 20) or 'a signal'}, which {by}"
    if end.reason == "signal":
        which = inert(end.cite, 60) if end.signal else "a signal"
        return f"{'died of' if gone else 'is about to die of'} {which}"
    if end.reason == "syscall":
        return f"was frozen at {inert(end.cite, 120)}, as was wanted"
    if end.reason == "requested":
        return f"was frozen on request: it {_what_goes_on(run, facts)}"
    return _what_goes_on(run, facts)


def _what_goes_on(run: Run, facts: Facts) -> str:
    end = facts.end
    trigger = run.snapshot.trigger
    loop = next((fact for fact in facts.of("loop") if isinstance(fact, LoopFact)), None)
    if end.reason in ("loop", "sleep_loop", "time_limit", "requested") and loop and loop.repeats > 1:
        return f"repeats {inert(loop.cite, 120)}"
    if end.stopped:
        return f"is stopped by {inert(end.stopped, 20)}"
    if end.blocked_in:
        return f"waits in {inert(end.cite, 80)}"
    if end.spinning:
        return "runs without any syscall"
    if trigger.syscall_name:
        return f"was frozen at {inert(trigger.syscall_name, 40)}"
    if end.reason == "time_limit":
        return "was computing when its time was over"
    return "was frozen between two calls"


def _said(message: Message) -> str:
    return "printed" if message.stream == "output" else "logged"


def headline(run: Run, facts: Facts, best: Hypothesis, candidate: Candidate) -> str:
    """Return in one sentence or two what happened and what is the most likely reason."""
    target = run.snapshot.target
    name = inert(posixpath.basename(target.program) or target.program, 60) or "a program without a name"
    arch = f"{inert(target.arch.upper(), 20)}, " if target.arch else ""
    who = f"{name} ({arch}pid {run.snapshot.trigger.pid or '?'})"
    text = f"{who} {_what_happens(run, facts)}"
    subject = candidate.subject
    last = next((m for m in reversed(facts.messages) if m.error and m.text), None)
    if isinstance(subject, FailedCall):
        if facts.end.reason != "syscall" or facts.end.seq != subject.first_seq:
            text += f": {inert(subject.cite, 160)} {ago(subject, 'ago')}"
        if last is not None and (last.seq < 0 or last.seq > subject.first_seq):
            text += f', then it {_said(last)} "{inert(last.text, 120)}"'
    elif subject is not facts.end and inert(subject.cite, 160) not in text:
        text += f": {inert(subject.cite, 160)}"
    elif last is not None and not candidate.entry.healthy:
        text += f', after it {_said(last)} "{inert(last.text, 120)}"'
    crashed = next((f for f in facts.of("child") if isinstance(f, Child) and f.crashed), None)
    if crashed is not None:
        text += f". A process that it started died of {crashed.crashed}"
    if contradicted_end(run.snapshot):
        text += ", by a record that contradicts itself"
    if best.cause == "unknown":
        return f"{text}. No known cause fits."
    if candidate.entry.healthy and best.confidence >= DOUBT:
        looks = "This looks healthy" if best.confidence >= HARDLY else "Perhaps it is healthy"
        return f"{text}. {looks}: {best.cause} ({best.confidence:.2f})."
    verdict = "Most likely" if best.confidence >= SURE else "Perhaps"
    return f"{text}. {verdict}: {best.cause} ({best.confidence:.2f})."


def next_experiment(facts: Facts, hypotheses: list[Hypothesis], experiments: Sequence[Experiment]) -> str:
    """Return the experiment that would tell most when the cause is not known.

    Where none can be carried out from here, it is what a person could look at.
    """
    if experiments:
        return experiments[0].says
    end = facts.end
    if end.spinning:
        return "sample the program counter and read the innermost frames: it waits for a variable to change"
    if end.blocked_in in ("accept", "poll", "read"):
        return (
            "probe it: connect to what it listens on, or feed its standard input, and see whether it answers"
        )
    wanted = [text for hypothesis in hypotheses[:2] for text in hypothesis.wanted]
    if wanted:
        return wanted[0]
    if end.reason in ("loop", "sleep_loop", "time_limit"):
        return "activate an observe-only rule on the calls in the loop and read their data"
    return "read the code of the frame that called exit, and the branch that led there"


def write_report(run: Run, diagnosis: Diagnosis, language: Catalogue | None = None) -> None:
    """Write `diagnosis.json` and `diagnosis.md` into the run directory, each atomically.

    The text is in `language`, by default in the one that is configured.
    """
    write_atomic(run.dir / "diagnosis.json", encode_json(diagnosis))
    text = render_markdown(run, diagnosis, language or _configured_language())
    write_atomic(run.dir / "diagnosis.md", text)


def _configured_language() -> Catalogue:
    try:
        return wanted_language()
    except TriageError:
        # `doctor` and the commands that write reports say what is wrong; no run is lost for it.
        return ENGLISH_CATALOGUE
