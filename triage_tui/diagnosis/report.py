"""The diagnosis of a run: made, rendered as Markdown, and written into the run directory."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from triage_tui.diagnosis.cite import Citer, ago, inert
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.derivation import derive
from triage_tui.diagnosis.experiments import SURE, suggest
from triage_tui.diagnosis.facts import Child, Facts, FailedCall, LoopFact, Message
from triage_tui.diagnosis.hypotheses import Candidate, hypothesize
from triage_tui.diagnosis.knowledge import KnowledgeBase
from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE, left_out
from triage_tui.diagnosis.scenes import full_scene
from triage_tui.errors import TriageError
from triage_tui.language.catalogue import ENGLISH_CATALOGUE, Catalogue
from triage_tui.language.choice import wanted_language
from triage_tui.rule_places import check_directories
from triage_tui.runs.diagnosis_model import (
    Diagnosis,
    Evidence,
    Experiment,
    Hypothesis,
    Opinion,
    Proposal,
)
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import encode_json

DOUBT = 0.4
"""Below this confidence the answer counts as unknown, and the next experiment is named."""


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


def diagnose(run: Run, knowledge: KnowledgeBase | None = None) -> Diagnosis:
    """Say why `run` stopped. Reads the run only; nothing is written.

    Raises:
        TriageError: the knowledge base has a mistake (file, entry and key are named).
    """
    base = knowledge or IN_FORCE.current()
    facts = gather(run, base.causality)
    problems = left_out(base.mistakes)
    hypotheses, chosen = hypothesize(run, facts, base, problems)
    best = hypotheses[0]
    unknown = best.cause == "unknown" or best.confidence < DOUBT
    experiments = suggest(run, facts, hypotheses, [one.entry.experiments for one in chosen])
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
    return "logged" if message.stream == "syslog" else "printed"


def headline(run: Run, facts: Facts, best: Hypothesis, candidate: Candidate) -> str:
    """Return in one sentence or two what happened and what is the most likely reason."""
    target = run.snapshot.target
    name = inert(posixpath.basename(target.program) or target.program, 60)
    who = f"{name} ({inert(target.arch.upper(), 20)}, pid {run.snapshot.trigger.pid or '?'})"
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
    if best.cause == "unknown":
        return f"{text}. No known cause fits."
    if candidate.entry.healthy and best.confidence >= DOUBT:
        return f"{text}. This looks healthy: {best.cause} ({best.confidence:.2f})."
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


def _evidence_lines(items: Iterable[Evidence], language: Catalogue) -> list[str]:
    evidence, unsupported = language.fill("evidence"), language.fill("(unsupported)")
    return [
        f"- {language.sentence(inert(item.says, 400))} "
        + (f"([{evidence}]({item.link}))" if item.supported and item.link else unsupported)
        for item in items
    ]


def _hypothesis_lines(position: int, hypothesis: Hypothesis, language: Catalogue) -> list[str]:
    say = language.fill
    lines = [f"## {position}. {language.sentence(hypothesis.title)} ({hypothesis.confidence:.2f})", ""]
    cause = "Cause `{cause}`, seen at the end as `{proximate}`."
    lines += [say(cause, cause=hypothesis.cause, proximate=hypothesis.proximate), ""]
    if hypothesis.source == "model":
        source = "Source: the model {model}; its confidence is its own word, and capped."
        lines += [say(source, model=inert(hypothesis.model, 80)), ""]
    if hypothesis.origin:
        places = {"entry": inert(hypothesis.entry, 80), "file": inert(hypothesis.origin, 300)}
        lines += [say("By the entry `{entry}` of `{file}`, which did not ship.", **places), ""]
    if hypothesis.explanation:
        lines += [language.paragraph(hypothesis.explanation), ""]
    for heading, body in (
        ("Evidence:", _evidence_lines(hypothesis.evidence, language)),
        ("Against it:", _evidence_lines(hypothesis.contrary, language)),
        ("Why it is not the first:", _evidence_lines(hypothesis.below, language)),
        ("Still wanted:", [f"- {language.sentence(inert(text, 400))}" for text in hypothesis.wanted]),
    ):
        if body:
            lines += [say(heading), "", *body, ""]
    if hypothesis.opinion is not None:
        lines += _opinion_lines(hypothesis.opinion, language)
    return lines


def _derivation_lines(diagnosis: Diagnosis, language: Catalogue) -> list[str]:
    evidence = language.fill("evidence")
    lines = [language.fill("From the end back to the cause ({kind}):", kind=diagnosis.scene_kind), ""]
    lines += [
        f"{number}. {language.sentence(inert(step.role, 80))}: "
        f"{language.sentence(inert(step.says, 400))} ([{evidence}]({step.link}))"
        for number, step in enumerate(diagnosis.derivation, start=1)
    ]
    return [*lines, ""]


def _opinion_lines(opinion: Opinion, language: Catalogue) -> list[str]:
    heading = "Second opinion of the model {model}, whose confidence ({figure}) changes nothing above:"
    figure = f"{opinion.confidence:.2f}"
    lines = [language.fill(heading, model=inert(opinion.model, 80), figure=figure), ""]
    lines += [language.paragraph(opinion.explanation or "It gives no reason."), ""]
    if opinion.contrary:
        against = _evidence_lines(opinion.contrary, language)
        lines += [language.fill("Against it, as the model says:"), "", *against, ""]
    return lines


def _experiment_lines(experiments: Sequence[Experiment], language: Catalogue) -> list[str]:
    say = language.fill
    lines = ["## " + say("What would make it sure"), ""]
    for entry in experiments:
        says, tells, cost = (
            language.sentence(inert(text, 400)) for text in (entry.says, entry.what_it_would_tell, entry.cost)
        )
        lines.append(f"- {says} (`triage-tui experiment RUN {inert(entry.id, 60)}`)")
        lines.append("  " + say("It would tell {text}. Cost: {cost}.", text=tells, cost=cost))
    return [*lines, ""]


def _proposal_lines(proposal: Proposal, language: Catalogue) -> list[str]:
    say = language.fill

    def told(text: str, limit: int = 400) -> str:
        return language.sentence(inert(text, limit))

    lines = [f"### {told(proposal.title)}", ""]
    lines.append("- " + say("Intent: {text}", text=told(proposal.intent)))
    lines.append("- " + say("Expected effect: {text}", text=told(proposal.effect)))
    risk = say("Risk: {risk}. {text}", risk=say(proposal.risk), text=told(proposal.risk_text))
    lines += ["- " + risk, "- " + say("Roll back: {text}", text=told(proposal.inverse))]
    if proposal.source == "model":
        lines.append("- " + say("Source: a model. A person must name it to approve it."))
    if proposal.needs_input:
        lines.append("- " + say("Needs a person: {text}", text=told(proposal.needs_input)))
    if proposal.files:
        names = ", ".join(f"`rules_patch/{inert(name)}`" for name in proposal.files)
        lines.append("- " + say("Files: {text}", text=names))
    return [*lines, ""]


def render_markdown(run: Run, diagnosis: Diagnosis, language: Catalogue | None = None) -> str:
    """Return the diagnosis as Markdown, in English unless another language is given.

    It is made from `diagnosis` alone. Everything that came from the guest is printable and inert, and stays
    as it is.
    """
    language = language or ENGLISH_CATALOGUE
    say = language.fill
    lines = ["# " + say("Diagnosis of {run}", run=inert(run.run_id)), ""]
    lines += [language.sentence(inert(diagnosis.headline, 800), "headline"), ""]
    lines += [say("Scene: {scene}.", scene=language.sentence(inert(diagnosis.scene), "scene"))]
    if diagnosis.healthy:
        lines.append(say("The program looks healthy: nothing should be changed."))
    lines += [f"{inert(problem, 600)}." for problem in diagnosis.kb_problems]
    if diagnosis.unknown_next:
        wanted = language.sentence(inert(diagnosis.unknown_next, 400))
        lines.append(say("Best next experiment: {text}.", text=wanted))
    lines.append("")
    if diagnosis.derivation:
        lines += _derivation_lines(diagnosis, language)
    for position, hypothesis in enumerate(diagnosis.hypotheses, start=1):
        lines += _hypothesis_lines(position, hypothesis, language)
    if diagnosis.experiments:
        lines += _experiment_lines(diagnosis.experiments, language)
    if diagnosis.proposals:
        lines += ["## " + say("Proposed rules"), ""]
        for proposal in diagnosis.proposals:
            lines += _proposal_lines(proposal, language)
    return "\n".join(lines).rstrip() + "\n"


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
