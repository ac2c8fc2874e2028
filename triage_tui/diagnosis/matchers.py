"""What a value of a fact has to be: the matchers of the condition language, and how mistakes are told."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import re2

from triage_tui.diagnosis.facts import Fact, FieldValue

Bindings = dict[str, Fact]
Test = Callable[[FieldValue, Bindings], bool]

_OPERATORS = ("equals", "one_of", "regex", "at_least", "at_most", "not", "same_as", "set")
MOST_WORDS = 20
"""Words that are told where none is near to what was meant."""


class BadConditionError(Exception):
    """Something in an entry that cannot be used: (key path, what is wrong, what to do)."""

    def __init__(self, where: str, what: str, do: str = "") -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what
        self.do = do


Report = Callable[[str, str, str], None]
"""Is told of each mistake: its key path, what is wrong there, what to do about it (may be empty)."""


def refuse(where: str, what: str, do: str = "") -> None:
    """Be a `Report` that stops at the first mistake.

    Raises:
        BadConditionError: always.
    """
    raise BadConditionError(where, what, do)


def choose(name: object, known: Iterable[str]) -> str:
    """Return what to do about a word that is none of `known`: the nearest one, else all of them."""
    words = sorted(known)
    near = difflib.get_close_matches(str(name)[:60], words, 1)
    if near:
        return f"did you mean {near[0]}?"
    more = f" and {len(words) - MOST_WORDS} more" if len(words) > MOST_WORDS else ""
    return f"known are {', '.join(words[:MOST_WORDS])}{more}"


class Matcher(msgspec.Struct, frozen=True):
    """What a value has to be; `words` says it: "is one of ENOENT, ENODEV"."""

    holds: Test
    words: str
    refers: str = ""
    """NAME.FIELD of the other fact that it is compared with, "" for none."""


VALUE_WORDS = {int: "a whole number", bool: "true or false", str: "a word", float: "a number"}
"""What a field of each type takes, in words."""


def shown_value(value: object) -> str:
    """Return a value of a file in few characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _no(_found: FieldValue, _names: Bindings) -> bool:
    return False


_NOTHING = Matcher(_no, "is nothing")
"""What stands for a matcher that could not be read."""


def parse_matcher(raw: object, wanted: type, where: str, report: Report = refuse) -> Matcher:
    """Build the test of one field of type `wanted`. A bare value means equals.

    Raises:
        BadConditionError: from `refuse`: unknown operator, wrong type, or an expression that RE2 refuses.
    """
    if not isinstance(raw, Mapping):
        return Matcher(_equals(raw, wanted, where, report), f"is {_plain(raw)}")
    if len(raw) != 1:
        report(
            where, f"needs exactly one of {', '.join(_OPERATORS)}", "split it into two questions below all"
        )
        return _NOTHING
    ((operator, value),) = raw.items()
    if operator == "equals":
        return Matcher(_equals(value, wanted, where, report), f"is {_plain(value)}")
    if operator == "one_of":
        return _one_of(value, wanted, where, report)
    if operator == "not":
        inner = parse_matcher(value, wanted, where, report)
        holds = inner.holds
        return Matcher(lambda found, names: not holds(found, names), _denied(inner.words), inner.refers)
    if operator == "set":
        if type(value) is not bool:
            report(where, "set needs true or false", "")
        words = "is set" if value else "is empty"
        return Matcher(lambda found, _names: (found not in ("", -1)) is value, words)
    if operator == "same_as":
        return _same_as(value, where, report)
    if operator in ("at_least", "at_most"):
        return Matcher(
            _bound(operator, value, wanted, where, report), f"is {operator.replace('_', ' ')} {value}"
        )
    if operator == "regex":
        return _regex(value, wanted, where, report)
    report(where, f"unknown operator {shown_value(operator)}", choose(operator, _OPERATORS))
    return _NOTHING


def _denied(words: str) -> str:
    return f"is not {words[3:]}" if words.startswith("is ") else f"is not one that {words}"


def _one_of(value: object, wanted: type, where: str, report: Report) -> Matcher:
    if not isinstance(value, list) or not value:
        report(where, "one_of needs a list", "")
        return _NOTHING
    tests = [_equals(entry, wanted, where, report) for entry in value]
    words = f"is one of {', '.join(map(_plain, value))}"
    return Matcher(lambda found, names: any(test(found, names) for test in tests), words)


def _regex(value: object, wanted: type, where: str, report: Report) -> Matcher:
    expression = compile_regex(value, where, report)
    if wanted is not str:
        report(where, "regex needs a field that holds text", "use at_least, at_most or one_of")
    if expression is None or wanted is not str:
        return _NOTHING
    return Matcher(lambda found, _names: expression.search(found) is not None, f"matches {value}")


def _plain(value: object) -> str:
    """Return a value as the words of a test have it."""
    if value == "":
        return "empty"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _equals(value: object, wanted: type, where: str, report: Report) -> Test:
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        report(where, f"needs {VALUE_WORDS[wanted]}, not {shown_value(value)}", "")
        return _no
    return lambda found, _names: found == value


def _bound(operator: str, value: object, wanted: type, where: str, report: Report) -> Test:
    if wanted not in (int, float) or type(value) not in (int, float):
        report(where, f"{operator} needs a number and a field that holds one", "")
        return _no
    limit: float = value  # type: ignore[assignment]
    if operator == "at_least":
        return lambda found, _names: not isinstance(found, str) and found >= limit
    return lambda found, _names: not isinstance(found, str) and found <= limit


def _same_as(value: object, where: str, report: Report) -> Matcher:
    name, _, attribute = value.partition(".") if isinstance(value, str) else ("", "", "")
    if not name or not attribute:
        report(where, "same_as needs NAME.FIELD of a fact named earlier", "")
        return _NOTHING
    return Matcher(
        lambda found, names: (
            name in names and found not in ("", -1) and getattr(names[name], attribute, None) == found
        ),
        f"is the same as {value}",
        str(value),
    )


def compile_regex(value: object, where: str, report: Report = refuse) -> Any:
    """Compile an RE2 expression; None where `report` let a mistake pass.

    Raises:
        BadConditionError: from `refuse`: it is no text, or RE2 refuses it.
    """
    if not isinstance(value, str):
        report(where, f"a regular expression is text, not {shown_value(value)}", "put it in quotes")
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(value, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not valid"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        report(
            where,
            f"RE2 refuses this regular expression ({shown_value(text)[1:-1]})",
            "RE2 has no back references and no look-around; see github.com/google/re2/wiki/Syntax",
        )
        return None
