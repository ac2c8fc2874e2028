"""How one rule differs from another: by meaning first, what its header promises and what its body does."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal

import msgspec

from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.explain import parse_match
from triage_tui.rulebook.check.explained import explained
from triage_tui.rulebook.lua.lexer import pieces
from triage_tui.rulebook.rulefile import RISKS, RuleHeader, budget_text
from triage_tui.rulebook.shown import line_text

Kind = Literal["added", "removed", "changed", "reworded", "same"]
"""`reworded`: the texts differ, but only in comments, white space and words of the header for people."""

_WORDS = ("intent", "effect", "risk", "inverse", "run", "target", "template")
_MAX_LINES = 2000


class Field(msgspec.Struct, frozen=True):
    """One field of the header that differs; "" stands for a field that is not there."""

    name: str
    old: str
    new: str
    note: str = ""
    """What that means, "" where the values say it."""


class RuleChange(msgspec.Struct, frozen=True):
    """How the rule `id` differs. `text` are the lines of a unified diff, safe to show."""

    id: str
    kind: Kind
    fields: tuple[Field, ...] = ()
    no_more: tuple[str, ...] = ()
    """What the body did and does not do any more, in words."""
    now: tuple[str, ...] = ()
    """What it does now and did not do."""
    also: tuple[str, ...] = ()
    """Other things that are otherwise: helpers, arguments looked at, values kept."""
    text: tuple[str, ...] = ()


def compare_sets(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[RuleChange]:
    """Compare rules, each given by its file name; those with the same syscall and id belong together.

    With exactly one on each side, for the same syscall, these two do.

    Raises:
        TriageError: a header is broken.
    """
    before = {_place(name, text): (name, text) for name, text in old.items()}
    after = {_place(name, text): (name, text) for name, text in new.items()}
    if len(before) == len(after) == 1 and {syscall for syscall, _ in before} == {name for name, _ in after}:
        return [compare(*before.popitem()[1], *after.popitem()[1])]
    found = []
    for place in sorted({*before, *after}):
        if place not in after:
            name, text = before[place]
            found.append(_alone(name, text, "removed"))
        elif place not in before:
            name, text = after[place]
            found.append(_alone(name, text, "added"))
        else:
            found.append(compare(*before[place], *after[place]))
    return found


def _place(name: str, text: bytes) -> tuple[str, str]:
    rule = rulefile.to_source(name, text)
    # A rule without a header is named after its text: its file name has to do.
    return rule.syscall, rule.id if rulefile.parse(text).has_header else name.rpartition("/")[2]


def _alone(name: str, text: bytes, kind: Literal["added", "removed"]) -> RuleChange:
    deeds = tuple(deed.told for deed in explained(name, text).deeds)
    rule_id = rulefile.parse(text).header.id
    empty: tuple[str, ...] = ()
    lines = _text_lines(b"", text) if kind == "added" else _text_lines(text, b"")
    no_more, now = (empty, deeds) if kind == "added" else (deeds, empty)
    return RuleChange(rule_id, kind, no_more=no_more, now=now, text=lines)


def compare(old_name: str, old: bytes, new_name: str, new: bytes) -> RuleChange:
    """Compare two texts of a rule, given by their file names.

    Raises:
        TriageError: a header is broken, or a name is not that of a rule.
    """
    before, after = rulefile.parse(old), rulefile.parse(new)
    rule_id = after.header.id
    if old == new and old_name.rpartition("/")[2] == new_name.rpartition("/")[2]:
        return RuleChange(rule_id, "same")
    one, other = explained(old_name, old), explained(new_name, new)
    fields = []
    if one.syscall != other.syscall:
        fields.append(Field("syscall", one.syscall, other.syscall, "it is asked about another call"))
    if before.header.id != after.header.id and (before.has_header or after.has_header):
        fields.append(Field("id", before.header.id, after.header.id))
    fields += _fields(before.header, after.header)
    done, will = [deed.told for deed in one.deeds], [deed.told for deed in other.deeds]
    also = []
    for label, then, later in (
        ("helpers", one.helpers, other.helpers),
        ("arguments looked at", tuple(map(str, one.arguments)), tuple(map(str, other.arguments))),
        ("kept from call to call", one.keeps, other.keeps),
        ("asked", one.asked, other.asked),
    ):
        if set(then) != set(later):
            more = [f"+{name}" for name in later if name not in then]
            also.append(f"{label}: {' '.join([*more, *(f'-{name}' for name in then if name not in later)])}")
    same_code = _code(before.body) == _code(after.body)
    if not same_code and not also and done == will and not one.unknown:
        also.append("the body is another one, in a way that is not told in words: see the text")
    acted_on = [field for field in fields if field.name not in _WORDS]
    kind: Kind = "changed" if acted_on or not same_code else "reworded"
    return RuleChange(
        rule_id,
        kind,
        tuple(fields),
        tuple(text for text in done if text not in will),
        tuple(text for text in will if text not in done),
        tuple(also),
        _text_lines(old, new),
    )


def _code(body: bytes) -> list[bytes]:
    return [one.raw for one in pieces(body) if one.kind != "comment"]


def _fields(old: RuleHeader, new: RuleHeader) -> list[Field]:
    found = []
    if old.match != new.match:
        found.append(Field("match", old.match, new.match, _match_note(old.match, new.match)))
    if old.hit_limit != new.hit_limit:
        note = "it may act more often" if _more(old.hit_limit, new.hit_limit) else "it may act less often"
        found.append(Field("hit-limit", _limit(old.hit_limit), _limit(new.hit_limit), note))
    if old.budget != new.budget:
        found.append(Field("budget", budget_text(old.budget), budget_text(new.budget)))
        if old.budget.on_failure != new.budget.on_failure:
            found.append(Field("on-failure", old.budget.on_failure or "", new.budget.on_failure or ""))
        found = [one for one in found if one.old != one.new]
    for name in _WORDS:
        then, now = getattr(old, name), getattr(new, name)
        if then != now:
            rises = name == "risk" and _risk(now) > _risk(then)
            found.append(Field(name, then, now, "higher" if rises else "lower" if name == "risk" else ""))
    for name in sorted({*old.extra, *new.extra}):
        if old.extra.get(name) != new.extra.get(name):
            found.append(Field(name, old.extra.get(name, ""), new.extra.get(name, "")))
    return found


def _limit(limit: int | None) -> str:
    return "none" if limit is None else str(limit)


def _more(old: int | None, new: int | None) -> bool:
    return new is None or (old is not None and new > old)


def _risk(risk: str) -> int:
    return RISKS.index(risk) if risk in RISKS else len(RISKS)


def _match_note(old: str, new: str) -> str:
    before, after = parse_match(old), parse_match(new)
    if before is None or after is None or before.syscall != after.syscall:
        return "for other calls"
    then, now = before.fields.items(), after.fields.items()
    if then < now:
        return "narrower: for fewer calls"
    return "wider: for more calls" if now < then else "for other calls"


def _text_lines(old: bytes, new: bytes) -> tuple[str, ...]:
    before, after = ([line_text(line) for line in text.splitlines(keepends=True)] for text in (old, new))
    if len(before) + len(after) > 4 * _MAX_LINES:
        return (f"{len(before)} lines became {len(after)}: too many to compare here",)
    lines = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    return tuple(lines[:_MAX_LINES])
