"""Turn facts into citations: evidence links with hashes, and text that cannot pass for one.

Guest text inside a sentence is made printable and inert: a path that spells out a link of ours must not
become one.
"""

from __future__ import annotations

import re

from triage_tui.diagnosis.causality import strerror
from triage_tui.diagnosis.facts import Fact, FailedCall, Source
from triage_tui.diagnosis.matchers import Bindings
from triage_tui.errors import TriageError
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.runs.evidence import make_link
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

PLACEHOLDER = re.compile(r"\{([a-z_]+)\.([a-z_]+)\}")
VIRTUAL_FIELDS = frozenset(("cite", "reasons", "strerror", "ago"))
"""Placeholders that are no fields: the citation, the ties to the end, the error in words, the distance."""

PASSING = 8
"""Calls of no weight that may lie between the end and what is told to be just before it."""

UNSUPPORTED = "(unsupported)"
_BRACKETS = str.maketrans({"[": "(", "]": ")"})
# Brackets in pairs, each with something behind it: neither this text nor what surrounds it links them.
_PAIRS = re.compile(r"(?:[^\[\]]|\[[^\[\]]*\](?=[^(]))*")


def inert(text: str, limit: int = 200) -> str:
    """Return guest text as one printable line that holds no link.

    Brackets stay where they cannot be part of a link: `nginx: [emerg] open() failed`, `[::1]:80`.
    """
    shown = safe_line(text, limit)
    return shown if _PAIRS.fullmatch(shown) else shown.translate(_BRACKETS)


def _link_of(run: Run, source: Source) -> str:
    offset, length = source.part or (None, None)
    return make_link(run, source.kind, source.id, line=source.line, offset=offset, length=length)


class Citer:
    """Makes links into one run; each place is looked up and hashed once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._links: dict[object, str | None] = {}

    def link(self, fact: Fact) -> str | None:
        """Return the link to where `fact` can be seen, None when the record does not hold it."""
        source = fact.source
        if source is None:
            return None
        if source not in self._links:
            try:
                self._links[source] = _link_of(self._run, source)
            except TriageError:
                self._links[source] = None
        return self._links[source]

    def text(self, fact: Fact) -> str:
        """Return `[what](link)`, or the text marked as unsupported."""
        link = self.link(fact)
        shown = inert(fact.cite, 160) or "evidence"
        return f"[{shown}]({link})" if link else f"{shown} {UNSUPPORTED}"

    def evidence(self, fact: Fact, says: str = "") -> Evidence:
        """Return `fact` as a piece of evidence; `says` replaces the fact's own sentence."""
        link = self.link(fact)
        sentence = says or inert(fact.says, 300)
        return Evidence(link=link or "", says=sentence, supported=link is not None)


def ago(fact: Fact, word: str = "before") -> str:
    """Return the distance between a fact and the end in words."""
    if fact.in_loop:
        # It is followed by "the end" where it says what comes before.
        return "in each round before" if word == "before" else "in each round"
    # Closing files and writing a message lie between many a failure and its end: those do not count.
    if fact.steps == 0 and fact.behind <= PASSING:
        return "just before"
    if fact.steps >= 1000:
        return f"long {word}"
    count = max(fact.steps, fact.behind)
    return f"{count} call{'s' if count != 1 else ''} {word}"


def fill(template: str, bindings: Bindings, citer: Citer) -> str | None:
    """Fill the placeholders of a sentence; None when it speaks of a fact that was not found."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        fact = bindings.get(match[1])
        if fact is None:
            missing = True
            return ""
        return _field(fact, match[2], citer)

    text = PLACEHOLDER.sub(value, template)
    return None if missing else text


def _field(fact: Fact, name: str, citer: Citer) -> str:
    if name == "cite":
        return citer.text(fact)
    if name == "ago":
        return ago(fact)
    if isinstance(fact, FailedCall) and name == "reasons":
        return inert(", ".join(fact.reasons), 800) or "nothing else stands out"
    if isinstance(fact, FailedCall) and name == "strerror":
        return strerror(fact.errno) or fact.errno
    return inert(str(getattr(fact, name, "")))
