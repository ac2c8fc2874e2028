"""A trace as text for a terminal, and as Markdown. All text of a trace is made safe here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from triage_tui.retry.tracing.model import PHASES, Phase, Reference, Trace, TracedRule, TraceStep
from triage_tui.text import safe_line

HEADINGS: dict[Phase, str] = {"plan": "Plan", "execution": "Execution", "verification": "Verification"}
_SUBJECTS = {"run": "run", "rule": "rule", "story": "story"}
_DIGITS = 12
"""Hex digits of a SHA-256 that are shown."""
_WIDTH = 10
_CITING = frozenset(("verdict", "round", "acted"))
"""Steps whose evidence says more than they do."""
_LONG = 600


def as_text(trace: Trace) -> Iterator[str]:
    """Yield the lines of a trace for a terminal."""
    yield f"Trace of {_SUBJECTS[trace.of]} {_line(trace.subject)}: {_line(trace.says)}"
    for run, steps in by_run(trace.steps):
        yield ""
        yield f"Run {_line(run)}" if run else "Rulebook"
        for phase, some in by_phase(steps):
            yield f"  {HEADINGS[phase]}"
            for step in some:
                yield from _step_lines(step)
    if trace.lacking:
        yield ""
        yield "What is missing, or does not agree"
        yield from (f"  {_line(text)}" for text in trace.lacking)


def _step_lines(step: TraceStep) -> Iterator[str]:
    indent = " " * 8
    yield f"  {step.number:>4}  {clock(step)}  {step.kind:<{_WIDTH}}  {_line(step.says)}"
    yield from (f"{indent}{text}" for text in details(step))
    for reference in step.evidence:
        says = f"  {_line(reference.says, 120)}" if step.kind in _CITING and reference.says else ""
        yield f"{indent}{_line(reference.link, 200)}{_where(step, reference)}{says}{doubt(reference)}"
    for rule in step.rules:
        yield f"{indent}{rule_words(rule)}"
    if step.figures:
        names = max(len(figure.name) for figure in step.figures)
        before = max(len(_line(figure.before, 60)) for figure in step.figures)
        for figure in step.figures:
            yield (
                f"{indent}{_line(figure.name, 40):<{names}}  {_line(figure.before, 60):<{before}}  ->"
                f"  {_line(figure.after, 60)}"
            )


def as_markdown(trace: Trace) -> Iterator[str]:
    """Yield the lines of a trace as Markdown; evidence links have the form of those of a diagnosis."""
    yield f"# Trace of {_SUBJECTS[trace.of]} {_prose(trace.subject)}"
    yield ""
    yield f"{_prose(trace.says)}."
    for run, steps in by_run(trace.steps):
        yield ""
        yield f"## Run {_prose(run)}" if run else "## Rulebook"
        for phase, some in by_phase(steps):
            yield ""
            yield f"### {HEADINGS[phase]}"
            yield ""
            for step in some:
                yield from _step_markdown(step)
    if trace.lacking:
        yield ""
        yield "## What is missing, or does not agree"
        yield ""
        yield from (f"- {_prose(text)}" for text in trace.lacking)


def _step_markdown(step: TraceStep) -> Iterator[str]:
    yield f"- **{step.number}** {clock(step)} *{step.kind}*: {_prose(step.says)}"
    yield from (f"  - {_prose(text)}" for text in details(step))
    for reference in step.evidence:
        says = _prose(reference.says or reference.link, 200).replace("[", "(").replace("]", ")")
        # What is in a link has been parsed, or is shown as text.
        link = _line(reference.link, 200)
        cited = f"[{says}]({link})" if link.startswith("ev:") and not set(link) & set(" ()<>") else says
        yield f"  - {cited}{_where(step, reference)}{doubt(reference)}"
    for rule in step.rules:
        yield f"  - {_prose(rule_words(rule))}"
    if step.figures:
        yield ""
        yield "  | figure | before | after |"
        yield "  |---|---|---|"
        for figure in step.figures:
            cells = (
                _prose(text, 120).replace("|", "\\|") for text in (figure.name, figure.before, figure.after)
            )
            yield f"  | {' | '.join(cells)} |"
        yield ""


def details(step: TraceStep) -> Iterator[str]:
    """Yield what a step says beside its sentence, raw but for the numbers."""
    if step.actor:
        yield f"by {_line(step.actor, 80)}" + (
            f", allowed by {_line(step.policy, 200)}" if step.policy else ""
        )
    if step.why:
        yield f"why: {_line(step.why)}"
    if step.because:
        yield because_words(step)
    if step.before is not None or step.after is not None:
        digest = f", SHA-256 {_line(step.digest, 64)}" if step.digest else ""
        yield f"generation {step.before if step.before is not None else '?'} -> {step.after or 0}{digest}"
    if step.audit:
        yield f"line {step.audit} of the audit log"


def because_words(step: TraceStep) -> str:
    """Return which steps a step follows from, in words; "" when it follows from none."""
    return f"follows from {', '.join(map(str, step.because))}" if step.because else ""


def by_run(steps: Iterable[TraceStep]) -> Iterator[tuple[str, list[TraceStep]]]:
    """Group steps by the run that they are of, in the order in which these first come."""
    found: dict[str, list[TraceStep]] = {}
    for step in steps:
        found.setdefault(step.run, []).append(step)
    yield from found.items()


def by_phase(steps: list[TraceStep]) -> Iterator[tuple[Phase, list[TraceStep]]]:
    """Group steps of one run by the part that they are of."""
    ordered = sorted(steps, key=lambda step: PHASES.index(step.phase))
    for phase, some in groupby(ordered, key=lambda step: step.phase):
        yield phase, list(some)


def clock(step: TraceStep) -> str:
    """Return when a step was, to the second, safe to show."""
    return _line(step.at[:19].replace("T", " "), 19) if step.at else "time unknown"


def _where(step: TraceStep, reference: Reference) -> str:
    return f" (run {_line(reference.run, 40)})" if reference.run != step.run else ""


def doubt(reference: Reference) -> str:
    """Return what is said behind evidence that does not hold."""
    return "" if reference.holds else "  UNSUPPORTED: it does not hold"


def rule_words(rule: TracedRule) -> str:
    """Return a rule file of a step in words, safe to show."""
    words = [_line(rule.file, 200)]
    if rule.id and rule.id not in rule.file:
        words.append(f"id {_line(rule.id, 80)}")
    if rule.sha256:
        words.append(f"sha256 {_line(rule.sha256[:_DIGITS], _DIGITS)}")
    if rule.generation:
        words.append(f"generation {rule.generation}")
    return ", ".join(words)


def _line(text: str, limit: int = _LONG) -> str:
    return safe_line(text, limit)


def _prose(text: str, limit: int = _LONG) -> str:
    """Return a text in which nothing is markup, and nothing looks like a link to evidence."""
    plain = _line(text, limit).replace("](", "] (")
    return "".join(f"\\{char}" if char in "\\`*_<>#[]!&~" else char for char in plain)
