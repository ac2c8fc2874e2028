"""A trace as lines whose evidence can be followed, also into other runs."""

from __future__ import annotations

from triage_tui.diagnosis.knowledge_base.explained_lines import Line
from triage_tui.errors import TriageError
from triage_tui.retry.tracing.model import Trace, TraceStep
from triage_tui.retry.tracing.writing import (
    HEADINGS,
    because_words,
    by_phase,
    by_run,
    clock,
    details,
    doubt,
    rule_words,
)
from triage_tui.runs.evidence import parse_link

_DAY = len("2026-01-31")
_IN = "@"
"""Between a link and the run that it leads into, where that is another one."""


def lines_of(trace: Trace) -> list[Line]:
    """Return the lines, raw text."""
    lines = [Line(trace.says, role="entry")]
    day = ""
    for run, steps in by_run(trace.steps):
        lines += [Line(""), Line(f"Run {run}" if run else "Rulebook", role="entry")]
        for phase, some in by_phase(steps):
            lines.append(Line(HEADINGS[phase], 2, role="entry"))
            for step in some:
                # A decision may be days behind the stop.
                lines += _of_step(trace, step, day)
                day = clock(step)[:_DAY]
    if trace.lacking:
        lines += [Line(""), Line("What is missing, or does not agree", role="entry")]
        lines += [Line(f"- {text}", 2, 2, role="held") for text in trace.lacking]
    return lines


def _of_step(trace: Trace, step: TraceStep, day: str) -> list[Line]:
    at = clock(step)
    at = at[_DAY + 1 :] if at[:_DAY] == day and len(at) > _DAY else at
    lines = [Line(f"{step.number} {at} {step.kind}: {step.says}", 4, 3, role="held", number=step.number)]
    because = because_words(step)
    lines += [Line(text, 7, 2, role="because" if text == because else "") for text in details(step)]
    for reference in step.evidence:
        link = reference.link if reference.run == trace.subject else f"{reference.link}{_IN}{reference.run}"
        # A step that is a claim of its own says it already: then its evidence is named by its place.
        says = reference.says if reference.says != step.says else ""
        lines.append(Line(f"{says or _name_of(reference.link)}{doubt(reference)}", 7, 2, link))
    lines += [Line(rule_words(rule), 7, 2) for rule in step.rules]
    lines += [Line(f"{one.name}: {one.before} -> {one.after}", 7, 2) for one in step.figures]
    return lines


def _name_of(link: str) -> str:
    try:
        found = parse_link(link)
    except TriageError:
        return link
    return f"{found.kind} {found.id}" + (f", line {found.line}" if found.line is not None else "")


def place_of(link: str, run_id: str) -> tuple[str, str]:
    """Return the run that a link of these lines leads into, and where; events are in the history."""
    where, _, other = link.partition(_IN) if link.rpartition(_IN)[2].count("_") == 2 else (link, "", "")
    return other or run_id, "pane:history" if where.startswith("ev:event/") else where
