"""Conditions looked at part by part: which question held and by which fact, which did not and how nearly."""

from __future__ import annotations

from typing import Any

import msgspec

from triage_tui.diagnosis.cite import Citer, ago, inert
from triage_tui.diagnosis.conditions import All, AnyOf, Condition, Leaf, Not, Sequence
from triage_tui.diagnosis.facts import Fact, Facts
from triage_tui.diagnosis.matchers import Bindings
from triage_tui.runs.diagnosis_model import Evidence

SHOWN = 3
"""Facts that are given for one question."""


class Part(msgspec.Struct, kw_only=True):
    """One question, or several combined, and the answer."""

    words: str
    """What is asked: "a failed_call whose errno is ENOENT", or "all of", "any of", "not"."""
    held: bool
    evidence: list[Evidence] = []
    """The facts by which it held; for one that did not, the fact that came nearest."""
    why_not: str = ""
    """What kept the nearest fact from fitting, or that there is none of the kind."""
    parts: list[Part] = []


def look_at(condition: Condition, facts: Facts, bindings: Bindings, citer: Citer) -> Part:
    """Answer `condition` part by part; names that it gives are added to `bindings` as in a diagnosis."""
    if isinstance(condition, Leaf):
        return _leaf(condition, facts, bindings, citer)
    if isinstance(condition, Not):
        inner = look_at(condition.part, facts, dict(bindings), citer)
        return Part(words="not", held=not inner.held, parts=[inner])
    if isinstance(condition, Sequence):
        return _sequence(condition, facts, bindings, citer)
    if isinstance(condition, All | AnyOf):
        parts = [look_at(part, facts, bindings, citer) for part in condition.parts]
        every = isinstance(condition, All)
        held = all(part.held for part in parts) if every else any(part.held for part in parts)
        return Part(words="all of" if every else "any of", held=held, parts=parts)
    raise TypeError(f"no condition: {condition!r}")


def _sequence(condition: Sequence, facts: Facts, bindings: Bindings, citer: Citer) -> Part:
    """Tell how far a sequence got: the fact of each part, and what was not found after which."""
    names = dict(bindings)
    answer = condition.check(facts, bindings)
    parts: list[Part] = []
    last = -1
    for index, part in enumerate(condition.parts):
        fact = next((one for one in part.find(facts, names) if one.seq > last), None)
        if fact is None:
            why = "there is none" if not index else "there is none after the one before"
            parts.append(Part(words=words_of(part), held=False, why_not=why))
            break
        parts.append(Part(words=words_of(part), held=True, evidence=[citer.evidence(fact)]))
        last = fact.seq
        names |= {part.name: fact} if part.name else {}
    return Part(words="in this order", held=answer is not None, parts=parts)


def look_at_subject(leaf: Leaf, facts: Facts, subject: Fact | None, citer: Citer) -> Part:
    """Answer the question for an entry's subject; `subject` is the fact that was found, None for none."""
    bindings: Bindings = {"end": facts.end}
    if subject is None:
        return _leaf(leaf, facts, bindings, citer)
    return Part(words=words_of(leaf), held=True, evidence=[citer.evidence(subject)])


def _leaf(leaf: Leaf, facts: Facts, bindings: Bindings, citer: Citer) -> Part:
    answer = leaf.check(facts, bindings)
    words = words_of(leaf)
    if answer is not None:
        return Part(words=words, held=True, evidence=[citer.evidence(fact) for fact in answer[-SHOWN:]])
    fitting = leaf.find(facts, bindings)
    if fitting:
        why = f"there {'is' if len(fitting) == 1 else 'are'} {len(fitting)} of them"
        return Part(words=words, held=False, evidence=[citer.evidence(fitting[-1])], why_not=why)
    near = nearest(leaf, facts, bindings)
    if near is None:
        return Part(words=words, held=False, why_not=f"the run has no {leaf.kind}")
    fact, failing = near
    return Part(
        words=words, held=False, evidence=[citer.evidence(fact)], why_not=f"but {', '.join(failing[:4])}"
    )


def nearest(leaf: Leaf, facts: Facts, bindings: Bindings) -> tuple[Fact, list[str]] | None:
    """Return the fact of the kind with the fewest things that do not fit, and these in words."""
    found = [(fact, _failing(leaf, fact, bindings)) for fact in facts.of(leaf.kind)]
    if not found:
        return None
    return min(found, key=lambda one: (len(one[1]), -float(getattr(one[0], "relevance", 0.0)), -one[0].seq))


def _failing(leaf: Leaf, fact: Fact, bindings: Bindings) -> list[str]:
    failing = [
        f"{test.field} is {_shown(getattr(fact, test.field))}"
        for test in leaf.tests
        if not test.holds(fact, bindings)
    ]
    if leaf.within_last is not None and fact.steps > leaf.within_last:
        failing.append(f"it is {ago(fact)} the end")
    if leaf.in_loop is not None and fact.in_loop != leaf.in_loop:
        failing.append("it is in the loop" if fact.in_loop else "it is in no loop")
    for name, later in ((leaf.after, True), (leaf.before, False)):
        if not name:
            continue
        other = bindings.get(name)
        if other is None:
            failing.append(f"{name} was not found")
        elif (fact.seq <= other.seq) if later else (fact.seq >= other.seq):
            failing.append(f"it is not {'after' if later else 'before'} {name}")
    return failing


def _shown(value: Any) -> str:
    if value == "":
        return "empty"
    return str(value).lower() if isinstance(value, bool) else inert(str(value), 80)


def words_of(leaf: Leaf) -> str:
    """Return a question in words."""
    article = "an" if leaf.kind[:1] in "aeiou" else "a"
    words = f"{article} {leaf.kind}"
    if leaf.at_most is not None and leaf.at_most == leaf.at_least:
        words = f"exactly {leaf.at_least} {leaf.kind}"
    elif leaf.at_most is not None:
        words = f"{leaf.at_least} to {leaf.at_most} {leaf.kind}"
    elif leaf.at_least != 1:
        words = f"at least {leaf.at_least} {leaf.kind}"
    if leaf.tests:
        words += " whose " + ", ".join(f"{test.field} {test.matcher.words}" for test in leaf.tests)
    if leaf.within_last is not None:
        words += f", within the last {leaf.within_last} calls"
    if leaf.in_loop is not None:
        words += ", in the loop" if leaf.in_loop else ", in no loop"
    words += f", after {leaf.after}" if leaf.after else ""
    words += f", before {leaf.before}" if leaf.before else ""
    return words + (f" (as {leaf.name})" if leaf.name else "")
