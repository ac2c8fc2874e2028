"""The names that the parts of an entry give to facts: which can be used where, and which never are."""

from __future__ import annotations

from collections.abc import Iterable

from triage_tui.diagnosis.cite import PLACEHOLDER, VIRTUAL_FIELDS
from triage_tui.diagnosis.conditions import All, AnyOf, Condition, Leaf, Not, Sequence
from triage_tui.diagnosis.facts import FACT_KINDS, field_types
from triage_tui.diagnosis.matchers import Report, choose

_OF_FAILURES = ("reasons", "strerror")

Kinds = dict[str, str]
"""Name -> the kind of fact it stands for."""


class Names:
    """The names of one entry: `sure` always have a fact, `possible` have one when their question held."""

    def __init__(self) -> None:
        self.sure: Kinds = {"end": "end"}
        self.possible: Kinds = {"end": "end"}


def check_names(subject: Leaf, when: Condition | None, adjust: Iterable[Condition], report: Report) -> Names:
    """Return the names that the texts of an entry may use; report questions about names without a fact.

    Questions are asked in the order in which they are written, the subject first, then `when`, then `adjust`.
    """
    names = Names()
    _leaf(subject, "subject", names.possible, report)
    if subject.name:
        report("subject.as", "the subject has its name already", "use {subject.FIELD}")
    names.sure["subject"] = names.possible["subject"] = subject.kind
    if when is not None:
        names.sure |= _walk(when, "when", names.possible, report)
    for index, condition in enumerate(adjust):
        _walk(condition, f"adjust[{index}].when", names.possible, report)
    return names


def _walk(condition: Condition, where: str, known: Kinds, report: Report) -> Kinds:
    """Check the questions below `condition`, add names they may give to `known`; return the sure ones."""
    if isinstance(condition, Leaf):
        _leaf(condition, where, known, report)
        if not condition.name:
            return {}
        known[condition.name] = condition.kind
        # "none" is a good answer to it, and leaves nothing to name.
        return {condition.name: condition.kind} if condition.at_least > 0 else {}
    if isinstance(condition, All):
        sure: Kinds = {}
        for index, part in enumerate(condition.parts):
            sure |= _walk(part, f"{where}.all[{index}]", known, report)
        return sure
    if isinstance(condition, Sequence):
        steps = [
            _walk(part, f"{where}.sequence[{i}]", known, report) for i, part in enumerate(condition.parts)
        ]
        return {name: kind for step in steps for name, kind in step.items()}
    if isinstance(condition, AnyOf):
        each = [_walk(part, f"{where}.any[{i}]", known, report) for i, part in enumerate(condition.parts)]
        shared = set.intersection(*map(set, each)) if each else set()
        return {name: each[0][name] for name in shared}
    if isinstance(condition, Not):
        # What must not be there has no name afterwards.
        _walk(condition.part, f"{where}.not", dict(known), report)
    return {}


def _leaf(leaf: Leaf, where: str, known: Kinds, report: Report) -> None:
    for key, name in (("after", leaf.after), ("before", leaf.before)):
        if name and name not in known:
            report(f"{where}.{key}", f"no fact is named {name} before this question", choose(name, known))
    for test in leaf.tests:
        if not test.matcher.refers:
            continue
        name, _, field = test.matcher.refers.partition(".")
        place = f"{where}.where.{test.field}"
        if name not in known:
            report(place, f"no fact is named {name} before this question", choose(name, known))
        elif known[name] in FACT_KINDS and field not in field_types(known[name]):
            report(place, f"{known[name]} has no field {field}", choose(field, field_types(known[name])))


def check_shown(key: str, text: str, report: Report) -> None:
    """Report a text that a terminal must not get, or that passes for evidence."""
    if not text.rstrip("\n").isprintable():
        report(key, "holds a character that cannot be shown", "write it in printable characters, on one line")
    if "](" in text:
        report(key, "holds a link of its own", "evidence is cited with {NAME.cite}")


def check_text(key: str, text: str, names: Names, report: Report) -> None:
    """Report placeholders of a text that can never be filled, and in a title those that sometimes cannot."""
    check_shown(key, text, report)
    for match in PLACEHOLDER.finditer(text):
        name, field = match[1], match[2]
        if name not in names.possible:
            report(key, f"{match[0]} names nothing", choose(name, names.possible))
            continue
        kind = names.possible[name]
        if kind in FACT_KINDS and field not in VIRTUAL_FIELDS and field not in field_types(kind):
            report(key, f"{match[0]}: {kind} has no field {field}", choose(field, field_types(kind)))
        elif field in _OF_FAILURES and kind != "failed_call":
            report(key, f"{match[0]}: only a failed_call has {field}", "use cite, ago or a field")
        elif name not in names.sure and key == "title":
            report(key, f"{match[0]} has a fact only sometimes", "a title uses what is always found")
    rest = PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        report(key, "a brace that belongs to no placeholder {name.field}", "remove it")
