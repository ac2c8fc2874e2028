"""Print why a run is diagnosed so and not otherwise, entry by entry, with the links to follow."""

from __future__ import annotations

import shutil
import textwrap

from triage_tui.diagnosis.knowledge_base.explaining import Explained, Explanation, Step
from triage_tui.diagnosis.knowledge_base.questions import Part
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.text import number_of, safe_line


def print_explanation(found: Explanation) -> None:
    """Print each entry that came near, best first."""
    for position, entry in enumerate(found.entries):
        if position:
            print()
        _entry(entry)
    if found.far:
        print()
        many = number_of(found.far, "other entry is", "other entries are")
        _print(f"{many} not near; `--entry ID` tells of one")


def _entry(entry: Explained) -> None:
    from_where = f" of {entry.origin}:{entry.line}" if entry.origin else ""
    figure = f" {entry.confidence:.2f}" if entry.steps else ""
    _print(f"{entry.entry} ({entry.cause}){figure}{from_where}: {entry.says}")
    if entry.title:
        _print(entry.title, "  ")
    _print("about", "  ")
    _part(entry.subject, "    ")
    if entry.when is not None:
        _print("when", "  ")
        _part(entry.when, "    ")
    if entry.steps:
        _print("confidence", "  ")
        for step in entry.steps:
            _step(step)
    if entry.below:
        _print("why it is not the first", "  ")
        for reason in entry.below:
            _print(f"{reason.says}{_link(reason)}", "    ", "      ")


def _part(part: Part, indent: str) -> None:
    sign = "+" if part.held else "-"
    _print(f"{sign} {part.words}", indent, f"{indent}    ")
    deeper = f"{indent}    "
    if part.why_not and part.evidence:
        evidence = part.evidence[0]
        _print(f"nearest: {evidence.says}, {part.why_not}{_link(evidence)}", deeper, deeper)
    elif part.why_not:
        _print(part.why_not, deeper, deeper)
    else:
        for evidence in part.evidence:
            _print(f"{evidence.says}{_link(evidence)}", deeper, deeper)
    for one in part.parts:
        _part(one, deeper)


def _step(step: Step) -> None:
    if step.held:
        _print(f"{step.add:+.2f} = {step.value:.2f}  {step.says}", "    ", " " * 19)
        if step.question is not None:
            for evidence in [one for one in _facts(step.question) if one.link][:1]:
                _print(f"{evidence.says}{_link(evidence)}", " " * 19, " " * 19)
    else:
        _print(f"({step.add:+.2f})        {step.says}: not so", "    ", " " * 19)


def _facts(part: Part) -> list[Evidence]:
    own = part.evidence if part.held else []
    return [*own, *(fact for one in part.parts if one.held for fact in _facts(one))]


def _link(evidence: Evidence) -> str:
    return f"  [{evidence.link}]" if evidence.link else ""


def _print(text: str, first: str = "", rest: str | None = None) -> None:
    width = max(40, min(shutil.get_terminal_size().columns, 160))
    lines = textwrap.wrap(
        safe_line(text, 2000),
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    print("\n".join(lines))
