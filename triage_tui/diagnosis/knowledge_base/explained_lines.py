"""An explanation as lines of text with links, for the command and the app alike."""

from __future__ import annotations

from typing import NamedTuple

from triage_tui.diagnosis.knowledge_base.explaining import Explained, Explanation, Step
from triage_tui.diagnosis.knowledge_base.questions import Part
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.text import number_of

_FIGURES = 15
"""Cells of the figures before the words of a step."""


class Line(NamedTuple):
    """One line before it is wrapped; raw text."""

    text: str
    indent: int = 0
    hang: int = 0
    """Further cells before the lines that it is continued on."""
    link: str = ""
    """Evidence link that belongs to it."""
    role: str = ""
    """"entry" for the first line of an entry, "held" and "failed" for answers, "because" for numbers of other
    lines that this one rests on, "" for the rest."""
    number: int = 0
    """What other lines name this one by; 0 = nothing."""


def lines_of(found: Explanation) -> list[Line]:
    """Return each entry that came near, best first, with an empty line before all but the first."""
    lines: list[Line] = []
    for entry in found.entries:
        if lines:
            lines.append(Line(""))
        lines += _entry(entry)
    if found.far:
        many = number_of(found.far, "other entry is", "other entries are")
        lines += [Line(""), Line(f"{many} not near; `triage-tui kb explain RUN --entry ID` tells of one")]
    return lines


def _entry(entry: Explained) -> list[Line]:
    from_where = f" of {entry.origin}:{entry.line}" if entry.origin else ""
    from_where += f" [{entry.status}]" if entry.status != "stable" else ""
    figure = f" {entry.confidence:.2f}" if entry.steps else ""
    lines = [Line(f"{entry.entry} ({entry.cause}){figure}{from_where}: {entry.says}", role="entry")]
    if entry.title:
        lines.append(Line(entry.title, 2))
    lines += [Line("about", 2), *_part(entry.subject, 4)]
    if entry.when is not None:
        lines += [Line("when", 2), *_part(entry.when, 4)]
    if entry.steps:
        lines.append(Line("confidence", 2))
        for step in entry.steps:
            lines += _step(step)
    if entry.below:
        lines.append(Line("why it is not the first", 2))
        lines += [Line(reason.says, 4, 2, reason.link) for reason in entry.below]
    if entry.references:
        lines.append(Line(f"see {', '.join(entry.references)}", 2, 2))
    return lines


def _part(part: Part, indent: int) -> list[Line]:
    role = "held" if part.held else "failed"
    lines = [Line(f"{'+' if part.held else '-'} {part.words}", indent, 4, role=role)]
    deeper = indent + 4
    if part.why_not and part.evidence:
        evidence = part.evidence[0]
        lines.append(Line(f"nearest: {evidence.says}, {part.why_not}", deeper, 0, evidence.link))
    elif part.why_not:
        lines.append(Line(part.why_not, deeper))
    else:
        lines += [Line(evidence.says, deeper, 0, evidence.link) for evidence in part.evidence]
    for one in part.parts:
        lines += _part(one, deeper)
    return lines


def _step(step: Step) -> list[Line]:
    if not step.held:
        return [Line(f"({step.add:+.2f})        {step.says}: not so", 4, _FIGURES, role="failed")]
    lines = [Line(f"{step.add:+.2f} = {step.value:.2f}  {step.says}", 4, _FIGURES, role="held")]
    if step.question is not None:
        shown = [one for one in _facts(step.question) if one.link][:1]
        lines += [Line(one.says, 4 + _FIGURES, 0, one.link) for one in shown]
    return lines


def _facts(part: Part) -> list[Evidence]:
    own = part.evidence if part.held else []
    return [*own, *(fact for one in part.parts if one.held for fact in _facts(one))]
