"""The condition language: what it asks and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from triage_tui.diagnosis.conditions import parse_condition
from triage_tui.diagnosis.facts import End, Fact, Facts, FailedCall, Message, Source
from triage_tui.diagnosis.matchers import BadConditionError


def failure(seq: int, path: str, errno: str = "ENOENT", **fields: Any) -> FailedCall:
    return FailedCall(
        source=Source("syscall", str(seq)),
        says=path,
        cite=path,
        seq=seq,
        operation="open",
        name="openat",
        names="openat",
        errno=errno,
        path=path,
        **fields,
    )


@pytest.fixture
def facts() -> Facts:
    found = Facts()
    found.add("end", End(source=Source("syscall", "9"), says="", cite="", seq=9, reason="exit", code=1))
    found.add("failed_call", failure(3, "/etc/a", steps=12))
    found.add("failed_call", failure(5, "/etc/b", "EACCES", steps=2, in_loop=True, relevance=0.5))
    found.add("message", Message(source=None, says="", cite="", seq=6, text="cannot open b", stream="output"))
    return found


def seqs(condition: dict[str, Any], facts: Facts, **names: Fact) -> list[int] | None:
    found = parse_condition(condition, "when").check(facts, dict(names))
    return None if found is None else [fact.seq for fact in found]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"fact": "failed_call"}, [3, 5]),
        ({"fact": "failed_call", "where": {"errno": "EACCES"}}, [5]),
        ({"fact": "failed_call", "where": {"errno": {"one_of": ["EPERM", "ENOENT"]}}}, [3]),
        ({"fact": "failed_call", "where": {"path": {"regex": "^/etc/[bc]$"}}}, [5]),
        ({"fact": "failed_call", "where": {"path": {"not": {"regex": "a$"}}}}, [5]),
        ({"fact": "failed_call", "where": {"relevance": {"at_least": 0.5}}}, [5]),
        ({"fact": "failed_call", "where": {"interface": {"set": True}}}, None),
        ({"fact": "failed_call", "within_last": 2}, [5]),
        ({"fact": "failed_call", "in_loop": False}, [3]),
        ({"fact": "failed_call", "count": {"at_least": 3}}, None),
        ({"fact": "failed_call", "count": 2}, [3, 5]),
        ({"all": [{"fact": "end"}, {"fact": "message"}]}, [9, 6]),
        ({"all": [{"fact": "end"}, {"fact": "child"}]}, None),
        ({"any": [{"fact": "child"}, {"fact": "message"}]}, [6]),
        ({"not": {"fact": "child"}}, []),
        ({"not": {"fact": "end"}}, None),
        (
            {"all": [{"fact": "failed_call", "as": "x"}, {"fact": "message", "after": "x"}]},
            [3, 5, 6],
        ),
        ({"all": [{"fact": "message", "as": "x"}, {"fact": "end", "before": "x"}]}, None),
        ({"sequence": [{"fact": "failed_call"}, {"fact": "message"}, {"fact": "end"}]}, [3, 6, 9]),
        ({"sequence": [{"fact": "failed_call"}, {"fact": "failed_call"}]}, [3, 5]),
        ({"sequence": [{"fact": "message"}, {"fact": "failed_call"}]}, None),
        (
            {
                "sequence": [
                    {"fact": "failed_call", "as": "x"},
                    {"fact": "failed_call", "where": {"operation": {"same_as": "x.operation"}}},
                ]
            },
            [3, 5],
        ),
    ],
)
def test_questions(condition: dict[str, Any], expected: list[int] | None, facts: Facts) -> None:
    assert seqs(condition, facts) == expected


def test_same_as_compares_with_a_named_fact(facts: Facts) -> None:
    condition = {"fact": "failed_call", "where": {"path": {"same_as": "subject.path"}}}
    assert seqs(condition, facts, subject=failure(1, "/etc/b")) == [5]
    assert seqs(condition, facts) is None


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({}, "when: a condition has exactly one of all, any, not, sequence and fact"),
        ({"fact": "failure"}, "when.fact: unknown kind 'failure'"),
        ({"fact": "end", "where": {"colour": 1}}, "when.where.colour: end has no such field"),
        ({"fact": "end", "where": {"code": "1"}}, "when.where.code: needs a whole number, not '1'"),
        ({"fact": "end", "where": {"code": True}}, "when.where.code: needs a whole number, not True"),
        ({"fact": "end", "where": {"reason": {"like": "x"}}}, "unknown operator 'like'"),
        ({"fact": "end", "where": {"code": {"regex": "1"}}}, "regex needs a field that holds text"),
        ({"fact": "end", "where": {"reason": {"regex": "("}}}, "RE2 refuses this regular expression"),
        ({"fact": "end", "where": {"reason": {"regex": "(a)\\1"}}}, "RE2 refuses this regular expression"),
        ({"fact": "end", "when": 1}, "when.when: unknown key"),
        ({"all": []}, "when.all: needs a list of conditions"),
        ({"sequence": [{"fact": "end"}]}, "when.sequence: a sequence has two parts or more"),
        ({"sequence": [{"not": {"fact": "end"}}]}, "when.sequence[0]: a part of a sequence is a question"),
        ({"any": [{"fact": "end"}], "not": {"fact": "end"}}, "exactly one of"),
        ({"fact": "end", "within_last": "3"}, "when.within_last: needs a whole number"),
    ],
)
def test_mistakes_are_named_by_key(condition: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConditionError) as caught:
        parse_condition(condition, "when")
    assert message in str(caught.value)
