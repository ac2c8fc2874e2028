"""The condition language of the knowledge base: questions about facts, combined by all, any and not.

    all:
      - fact: end
        where: {reason: exit, code: {not: 0}}
      - any:
          - {fact: message, where: {text: {regex: 'no such user'}}, within_last: 10, as: said}
          - not: {fact: listening}

A leaf asks whether facts of one kind exist whose fields match. It may ask how many (`count`), how near to the
end (`within_last`, in calls that mean something), whether in the loop (`in_loop`), before or after another
fact (`after`, `before`), and may name what it found (`as`) so that the explanation can cite it.
Regular expressions are RE2's: linear in time on any input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import re2

from triage_tui.diagnosis.facts import FACT_KINDS, Fact, Facts, FieldValue, field_types

Bindings = dict[str, Fact]
Test = Callable[[FieldValue, Bindings], bool]

_OPERATORS = ("equals", "one_of", "regex", "at_least", "at_most", "not", "same_as", "set")
_LEAF_KEYS = ("fact", "where", "count", "within_last", "in_loop", "after", "before", "as")
MAX_FOUND = 8
"""Facts that one leaf hands on as evidence; more prove nothing more."""


class BadConditionError(Exception):
    """A condition that cannot be used: (key path, what is wrong)."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


class Condition(Protocol):
    """A question with an answer: None for no, else the facts that say yes."""

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """Answer for `facts`; names given with `as` are added to `bindings` when the answer is yes."""
        ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """A question about the facts of one kind."""

    kind: str
    tests: tuple[tuple[str, Test], ...]
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
        return all(test(getattr(fact, name), bindings) for name, test in self.tests)

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


@dataclass(frozen=True, slots=True)
class All:
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


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part must hold; all that hold are evidence."""

    parts: tuple[Condition, ...]

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """See `Condition`."""
        answers = [answer for part in self.parts if (answer := part.check(facts, bindings)) is not None]
        return [fact for answer in answers for fact in answer] if answers else None


@dataclass(frozen=True, slots=True)
class Not:
    """The part must not hold."""

    part: Condition

    def check(self, facts: Facts, bindings: Bindings) -> list[Fact] | None:
        """See `Condition`. Absence gives no facts to cite."""
        return None if self.part.check(facts, dict(bindings)) is not None else []


def parse_condition(raw: object, where: str) -> Condition:
    """Build a condition from YAML data; `where` is the key path for messages.

    Raises:
        BadConditionError: it is not well formed.
    """
    if not isinstance(raw, Mapping):
        raise BadConditionError(where, "a condition is a mapping with all, any, not or fact")
    heads = [key for key in ("all", "any", "not", "fact") if key in raw]
    if len(heads) != 1:
        raise BadConditionError(where, "a condition has exactly one of all, any, not and fact")
    head = heads[0]
    if head == "fact":
        return parse_leaf(raw, where)
    if len(raw) != 1:
        extra = next(str(key) for key in raw if key != head)
        raise BadConditionError(f"{where}.{extra}", f"this key does not belong beside {head}")
    if head == "not":
        return Not(parse_condition(raw["not"], f"{where}.not"))
    parts = raw[head]
    if not isinstance(parts, list) or not parts:
        raise BadConditionError(f"{where}.{head}", "needs a list of conditions")
    built = tuple(parse_condition(part, f"{where}.{head}[{index}]") for index, part in enumerate(parts))
    return All(built) if head == "all" else AnyOf(built)


def parse_leaf(raw: Mapping[Any, Any], where: str) -> Leaf:
    """Build a question about one kind of fact.

    Raises:
        BadConditionError: it is not well formed.
    """
    for key in raw:
        if key not in _LEAF_KEYS:
            raise BadConditionError(f"{where}.{key}", f"unknown key; known are {', '.join(_LEAF_KEYS)}")
    kind = raw.get("fact")
    if not isinstance(kind, str) or kind not in FACT_KINDS:
        raise BadConditionError(f"{where}.fact", f"unknown kind {kind!r}; known are {', '.join(FACT_KINDS)}")
    fields = field_types(kind)
    tests = []
    matchers = raw.get("where", {})
    if not isinstance(matchers, Mapping):
        raise BadConditionError(f"{where}.where", "needs a mapping of field to value")
    for name, matcher in matchers.items():
        if name not in fields:
            raise BadConditionError(
                f"{where}.where.{name}", f"{kind} has no such field; it has {', '.join(sorted(fields))}"
            )
        tests.append((name, parse_matcher(matcher, fields[name], f"{where}.where.{name}")))
    at_least, at_most = _count(raw.get("count"), f"{where}.count")
    return Leaf(
        kind=kind,
        tests=tuple(tests),
        at_least=at_least,
        at_most=at_most,
        within_last=_typed(raw, "within_last", int, where),
        in_loop=_typed(raw, "in_loop", bool, where),
        after=_typed(raw, "after", str, where) or "",
        before=_typed(raw, "before", str, where) or "",
        name=_typed(raw, "as", str, where) or "",
    )


def _typed(raw: Mapping[Any, Any], key: str, wanted: type, where: str) -> Any:
    value = raw.get(key)
    if value is None:
        return None
    if type(value) is not wanted:
        raise BadConditionError(f"{where}.{key}", f"needs {_WORDS[wanted]}, not {value!r}")
    return value


_WORDS = {int: "a whole number", bool: "true or false", str: "a word", float: "a number"}


def _count(raw: object, where: str) -> tuple[int, int | None]:
    if raw is None:
        return 1, None
    if type(raw) is int:
        return raw, raw
    if isinstance(raw, Mapping) and raw and set(raw) <= {"at_least", "at_most"}:
        low, high = raw.get("at_least", 0), raw.get("at_most")
        if type(low) is int and (high is None or type(high) is int):
            return low, high
    raise BadConditionError(where, "needs a whole number, or at_least and at_most with whole numbers")


def parse_matcher(raw: object, wanted: type, where: str) -> Test:
    """Build the test of one field of type `wanted`. A bare value means equals.

    Raises:
        BadConditionError: unknown operator, wrong type, or an expression that RE2 refuses.
    """
    if not isinstance(raw, Mapping):
        return _equals(raw, wanted, where)
    if len(raw) != 1:
        raise BadConditionError(where, f"needs exactly one of {', '.join(_OPERATORS)}")
    ((operator, value),) = raw.items()
    if operator == "equals":
        return _equals(value, wanted, where)
    if operator == "one_of":
        if not isinstance(value, list) or not value:
            raise BadConditionError(where, "one_of needs a list")
        tests = [_equals(entry, wanted, where) for entry in value]
        return lambda found, names: any(test(found, names) for test in tests)
    if operator == "not":
        inner = parse_matcher(value, wanted, where)
        return lambda found, names: not inner(found, names)
    if operator == "set":
        if type(value) is not bool:
            raise BadConditionError(where, "set needs true or false")
        return lambda found, _names: (found not in ("", -1)) is value
    if operator == "same_as":
        return _same_as(value, where)
    if operator in ("at_least", "at_most"):
        return _bound(operator, value, wanted, where)
    if operator == "regex":
        expression = compile_regex(value, where)
        if wanted is not str:
            raise BadConditionError(where, "regex needs a field that holds text")
        return lambda found, _names: expression.search(found) is not None
    raise BadConditionError(where, f"unknown operator {operator!r}; known are {', '.join(_OPERATORS)}")


def _equals(value: object, wanted: type, where: str) -> Test:
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise BadConditionError(where, f"needs {_WORDS[wanted]}, not {value!r}")
    return lambda found, _names: found == value


def _bound(operator: str, value: object, wanted: type, where: str) -> Test:
    if wanted not in (int, float) or type(value) not in (int, float):
        raise BadConditionError(where, f"{operator} needs a number and a field that holds one")
    limit: float = value  # type: ignore[assignment]
    if operator == "at_least":
        return lambda found, _names: not isinstance(found, str) and found >= limit
    return lambda found, _names: not isinstance(found, str) and found <= limit


def _same_as(value: object, where: str) -> Test:
    name, _, attribute = value.partition(".") if isinstance(value, str) else ("", "", "")
    if not name or not attribute:
        raise BadConditionError(where, "same_as needs NAME.FIELD of a fact named earlier")
    return lambda found, names: (
        name in names and found not in ("", -1) and getattr(names[name], attribute, None) == found
    )


def compile_regex(value: object, where: str) -> Any:
    """Compile an RE2 expression.

    Raises:
        BadConditionError: it is no text, or RE2 refuses it.
    """
    if not isinstance(value, str):
        raise BadConditionError(where, f"a regular expression is text, not {value!r}")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(value, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not valid"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise BadConditionError(where, f"RE2 refuses this regular expression ({text})") from error
