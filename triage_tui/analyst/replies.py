"""From the model's text to typed replies: what the phases expect, and nothing else is understood."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from triage_tui.errors import TriageError
from triage_tui.text import safe_line

MAX_HYPOTHESES = 5
MAX_CLAIMS = 12
_MAX_QUOTED = 160
"""Characters of prose that are shown: a refusal is told so in the model's own words."""
_MAX_TRIES = 100
"""Opening braces at which an object is looked for in prose."""

_T = TypeVar("_T")


class ReplyError(TriageError):
    """The reply is not what was asked for; says what is wrong with it."""


class _Reply(msgspec.Struct, kw_only=True):
    """Base of replies: what a model adds is ignored."""


class Claim(_Reply):
    """One sentence, and the ids of the evidence that it rests on."""

    says: str
    evidence: list[str] = []
    quote: str = ""
    """Words that the evidence holds; they are looked for there."""


class WantedRule(_Reply):
    """A rule that the model wants proposed: a template with parameters, or Lua text."""

    template: str = ""
    about: str = ""
    """Evidence id of the call that the rule is for: what the template needs is taken from there."""
    parameters: dict[str, str] = {}
    syscall: str = ""
    lua: str = ""
    title: str = ""
    intent: str = ""
    effect: str = ""
    risk: str = ""
    undo: str = ""
    hit_limit: int = 0


class ModelHypothesis(_Reply):
    """One explanation of the failure."""

    cause: str
    confidence: float
    title: str
    proximate: str = ""
    claims: list[Claim] = []
    contrary: list[Claim] = []
    wanted: list[str] = []
    proposal: WantedRule | None = None


class Suspicion(_Reply):
    """A cause that may be the one, before anything was looked up."""

    cause: str
    why: str = ""
    evidence: list[str] = []


class Classification(_Reply):
    """Reply of `classify`."""

    causes: list[Suspicion]
    look_at: list[str] = []


class Findings(_Reply):
    """Reply of `collect`."""

    findings: list[Claim]
    open_questions: list[str] = []


class Hypotheses(_Reply):
    """Reply of `hypothesize` and `refine`."""

    hypotheses: list[ModelHypothesis]
    left_out: list[str] = []
    """Why some of what the model said is not among them, a sentence each."""


class _AnyHypotheses(_Reply):
    """The same before each of them is looked at: one that is wrong must not cost the others."""

    hypotheses: list[Any]


class Proposed(_Reply):
    """Reply of `propose` and `repair`; without a rule, `reason` says why there is none."""

    proposal: WantedRule | None = None
    reason: str = ""


class Replies:
    """Parses the reply of each phase; every method raises `ReplyError` with one sentence."""

    def classify(self, text: str) -> Classification:
        """Return the causes that come into question."""
        found = _parsed(text, Classification)
        found.causes = found.causes[:MAX_HYPOTHESES]
        return found

    def collect(self, text: str) -> Findings:
        """Return what was found out."""
        found = _parsed(text, Findings)
        found.findings = found.findings[:MAX_CLAIMS]
        return found

    def hypothesize(self, text: str) -> Hypotheses:
        """Return the explanations, most confident first; those that are wrong are left out, and said.

        Raises:
            ReplyError: there are some, and each of them is wrong.
        """
        given = _parsed(text, _AnyHypotheses).hypotheses[:_MAX_TRIES]
        found = Hypotheses(hypotheses=[])
        for one in given:
            try:
                found.hypotheses.append(_hypothesis(one))
            except ReplyError as error:
                found.left_out.append(f"a hypothesis was left out: {error}")
                first = error
        if given and not found.hypotheses:
            raise first
        found.hypotheses.sort(key=lambda one: -one.confidence)
        found.hypotheses = found.hypotheses[:MAX_HYPOTHESES]
        return found

    refine = hypothesize

    def propose(self, text: str) -> Proposed:
        """Return the rule that is wanted, or why there is none."""
        found = _parsed(text, Proposed)
        if found.proposal is None and not found.reason.strip():
            raise ReplyError("the reply holds neither a proposal nor a reason for none")
        return found

    repair = propose


def _hypothesis(value: object) -> ModelHypothesis:
    try:
        one = msgspec.convert(value, ModelHypothesis)
    except (msgspec.ValidationError, RecursionError) as error:
        why = safe_line(str(error), 200)
        raise ReplyError(f"the reply has another form than asked for: {why}") from error
    if not 0 <= one.confidence <= 1:
        raise ReplyError(f"confidence is {one.confidence:g}, and must be between 0 and 1")
    one.claims, one.contrary = one.claims[:MAX_CLAIMS], one.contrary[:MAX_CLAIMS]
    return one


def _parsed(text: str, type: type[_T]) -> _T:
    """Return the last object of a reply that has the form of `type`: models think aloud before."""
    problem: ReplyError | None = None
    found: _T | None = None
    for value in _objects_in(text):
        try:
            found = msgspec.convert(value, type)
        except msgspec.ValidationError as error:
            why = safe_line(str(error), 200)
            problem = ReplyError(f"the reply has another form than asked for: {why}")
        except RecursionError:
            problem = ReplyError("the reply is nested too deeply")
    if found is not None:
        return found
    if problem is not None:
        raise problem
    if "{" in text:
        raise ReplyError("the reply holds no whole JSON object")
    said = safe_line(" ".join(text.split()), _MAX_QUOTED)
    raise ReplyError(f"the reply is prose, not the JSON object that was asked for: {said!r}")


def _objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Give the JSON objects of a reply; models put prose and code fences around them."""
    decoder = json.JSONDecoder()
    place = 0
    for _ in range(_MAX_TRIES):
        place = text.find("{", place)
        if place < 0:
            return
        try:
            found, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        yield found
