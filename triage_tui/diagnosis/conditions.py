"""The condition language of the knowledge base: questions about facts, combined by all, any, not, sequence.

    all:
      - fact: end
        where: {reason: exit, code: {not: 0}}
      - any:
          - {fact: message, where: {text: {regex: 'no such user'}}, within_last: 10, as: said}
          - not: {fact: listening}

`sequence` wants a fact for each of its questions, each made by a later call than the one before.
A leaf asks whether facts of one kind exist whose fields match. It may ask how many (`count`), how near to the
end (`within_last`, in calls that mean something), whether in the loop (`in_loop`), before or after another
fact (`after`, `before`), and may name what it found (`as`) so that the explanation can cite it.
Regular expressions are RE2's: linear in time on any input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from triage_tui.diagnosis.facts import FACT_KINDS, Fact, Facts, field_types
from triage_tui.diagnosis.matchers import (
    VALUE_WORDS,
    Bindings,
    Matcher,
    Report,
    choose,
    parse_matcher,
    refuse,
    shown_value,
)

_COMBINED = ("all", "any", "not", "sequence")
_LEAF_KEYS = ("fact", "where", "count", "within_last", "in_loop", "after", "before", "as")
MAX_FOUND = 8
"""Facts that one leaf hands on as evidence; more prove nothing more."""

MAX_NESTED = 20
"""How deeply all, any and not may be nested."""


class Condition(Protocol):
    """A question with an answer: None for no, else the facts that say yes."""

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """Answer for `facts`; names given with `as` are added to `bindings` when the answer is yes."""
        ...


class FieldTest(msgspec.Struct, frozen=True):
    """What one field of a fact has to be."""

    field: str
    matcher: Matcher

    def holds(self, fact: Fact, bindings: Bindings) -> bool:
        """Tell whether the field of `fact` is so."""
        return self.matcher.holds(getattr(fact, self.field), bindings)


class Leaf(msgspec.Struct, frozen=True):
    """A question about the facts of one kind."""

    kind: str
    tests: tuple[FieldTest, ...]
    at_least: int = 1
    at_most: int | None = None
    within_last: int | None = None
    in_loop: bool | None = None
    after: str = ""
    before: str = ""
    name: str = ""

    def matches(self, fact: Fact, bindings: Bindings) -> bool:
        """Tell whether one fact fits."""
        if self.within_last is not None and fact.steps > self.within_last:
            return False
        if self.in_loop is not None and fact.in_loop != self.in_loop:
            return False
        if self.after and (self.after not in bindings or fact.seq <= bindings[self.after].seq):
            return False
        if self.before and (self.before not in bindings or fact.seq >= bindings[self.before].seq):
            return False
        return all(test.holds(fact, bindings) for test in self.tests)

    def find(self, facts: Facts, bindings: Bindings) -> list[Fact]:
        """Return all facts that fit, oldest first."""
        return [fact for fact in facts.of(self.kind) if self.matches(fact, bindings)]

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """See `Condition`. The last matching fact gets the name."""
        found = self.find(facts, bindings)
        if len(found) < self.at_least or (self.at_most is not None and len(found) > self.at_most):
            return None
        if self.name and found:
            bindings[self.name] = found[-1]
        return found[-MAX_FOUND:]


class All(msgspec.Struct, frozen=True):
    """Every part must hold."""

    parts: tuple[Condition, ...]

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """See `Condition`."""
        found: list[Fact] = []
        for part in self.parts:
            answer = part.check(facts, bindings)
            if answer is None:
                return None
            found += answer
        return found


class AnyOf(msgspec.Struct, frozen=True):
    """At least one part must hold; all that hold are evidence."""

    parts: tuple[Condition, ...]

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """See `Condition`."""
        answers = [answer for part in self.parts if (answer := part.check(facts, bindings)) is not None]
        return [fact for answer in answers for fact in answer] if answers else None


class Not(msgspec.Struct, frozen=True):
    """The part must not hold."""

    part: Condition

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """See `Condition`. Absence gives no facts to cite."""
        return None if self.part.check(facts, dict(bindings)) is not None else []


NEVER = AnyOf(())
"""What stands for a condition that could not be read: it never holds."""


class Sequence(msgspec.Struct, frozen=True):
    """Facts for all parts, each made by a later call than the one before."""

    parts: tuple[Leaf, ...]

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """See `Condition`. Of several facts for a part the earliest is taken; each part may name its own."""
        names = dict(bindings)
        found: list[Fact] = []
        for part in self.parts:
            last = found[-1].seq if found else -1
            fact = next((one for one in part.find(facts, names) if one.seq > last), None)
            if fact is None:
                return None
            found.append(fact)
            if part.name:
                names[part.name] = fact
        bindings.update(names)
        return found


def parse_condition(raw: object, where: str, report: Report = refuse, depth: int = 0) -> Condition:
    """Build a condition from YAML data; `where` is the key path for messages.

    Every mistake goes to `report`, which by default stops at the first; what is wrong never holds.

    Raises:
        BadConditionError: from `refuse`.
    """
    if not isinstance(raw, Mapping):
        report(where, "a condition is a mapping with all, any, not, sequence or fact", "")
        return NEVER
    heads = [key for key in (*_COMBINED, "fact") if key in raw]
    if len(heads) != 1:
        report(where, "a condition has exactly one of all, any, not, sequence and fact", _where_to_put(heads))
        return NEVER
    head = heads[0]
    if head == "fact":
        return parse_leaf(raw, where, report)
    if depth >= MAX_NESTED:
        report(where, f"conditions are nested more than {MAX_NESTED} levels deep", "write them flatter")
        return NEVER
    for extra in raw:
        if extra != head:
            report(f"{where}.{extra}", f"this key does not belong beside {head}", "move it into a question")
    if head == "not":
        return Not(parse_condition(raw["not"], f"{where}.not", report, depth + 1))
    parts = raw[head]
    if not isinstance(parts, list) or not parts:
        report(f"{where}.{head}", "needs a list of conditions", "")
        return NEVER
    if head == "sequence":
        return _sequence(parts, f"{where}.sequence", report)
    built = tuple(
        parse_condition(part, f"{where}.{head}[{index}]", report, depth + 1)
        for index, part in enumerate(parts)
    )
    return All(built) if head == "all" else AnyOf(built)


def _sequence(parts: list[Any], where: str, report: Report) -> Condition:
    leaves = []
    for index, part in enumerate(parts):
        place = f"{where}[{index}]"
        if not isinstance(part, Mapping) or "fact" not in part:
            report(place, "a part of a sequence is a question about facts", "begin it with fact")
            return NEVER
        if "count" in part:
            report(f"{place}.count", "a part of a sequence is one fact", "leave count away")
        leaves.append(parse_leaf(part, place, report))
    if len(leaves) < 2:
        report(where, "a sequence has two parts or more", "")
    return Sequence(tuple(leaves))


def _where_to_put(heads: list[str]) -> str:
    return f"put {' and '.join(heads)} into a list below all" if heads else "begin with one of them"


def parse_leaf(raw: Mapping[Any, Any], where: str, report: Report = refuse) -> Leaf:
    """Build a question about one kind of fact; mistakes go to `report`.

    Raises:
        BadConditionError: from `refuse`.
    """
    for key in raw:
        if key not in _LEAF_KEYS:
            report(f"{where}.{key}", "unknown key", choose(key, _LEAF_KEYS))
    kind = raw.get("fact")
    known = isinstance(kind, str) and kind in FACT_KINDS
    if not known:
        report(f"{where}.fact", f"unknown kind {kind!r}", choose(kind, FACT_KINDS))
    fields = field_types(str(kind)) if known else {}
    tests = []
    matchers = raw.get("where", {})
    if not isinstance(matchers, Mapping):
        report(f"{where}.where", "needs a mapping of field to value", "")
        matchers = {}
    for name, matcher in matchers.items() if known else ():
        if name not in fields:
            report(f"{where}.where.{name}", f"{kind} has no such field", choose(name, fields))
            continue
        tests.append(FieldTest(name, parse_matcher(matcher, fields[name], f"{where}.where.{name}", report)))
    at_least, at_most = _count(raw.get("count"), f"{where}.count", report)
    return Leaf(
        kind=str(kind),
        tests=tuple(tests),
        at_least=at_least,
        at_most=at_most,
        within_last=_typed(raw, "within_last", int, where, report),
        in_loop=_typed(raw, "in_loop", bool, where, report),
        after=_typed(raw, "after", str, where, report) or "",
        before=_typed(raw, "before", str, where, report) or "",
        name=_typed(raw, "as", str, where, report) or "",
    )


def _typed(raw: Mapping[Any, Any], key: str, wanted: type, where: str, report: Report) -> Any:
    value = raw.get(key)
    if value is None:
        return None
    if type(value) is not wanted:
        report(f"{where}.{key}", f"needs {VALUE_WORDS[wanted]}, not {shown_value(value)}", "")
        return None
    return value


def _count(raw: object, where: str, report: Report) -> tuple[int, int | None]:
    if raw is None:
        return 1, None
    if type(raw) is int:
        return raw, raw
    if isinstance(raw, Mapping) and raw and set(raw) <= {"at_least", "at_most"}:
        low, high = raw.get("at_least", 0), raw.get("at_most")
        if type(low) is int and (high is None or type(high) is int):
            if high is not None and high < low:
                report(where, f"at least {low} and at most {high} is never so", "raise at_most")
            return low, high
    report(where, "needs a whole number, or at_least and at_most with whole numbers", "")
    return 1, None
