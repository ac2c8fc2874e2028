"""The model's claims against the record: what it cites is looked up, and what does not hold is marked.

A link that does not resolve never reaches the diagnosis as a link. A claim without any evidence that
resolves is unsupported, whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from triage_tui.analyst.replies import Claim
from triage_tui.diagnosis.cite import UNSUPPORTED, inert
from triage_tui.errors import TriageError
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.runs.evidence import Link, make_link, parse_link, resolve
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction

MAX_SAYS = 400
_MAX_LINKS = 4
_MAX_IDS = 32
"""Ids of a claim that are looked up."""
_FAILURE = re.compile(r"\b(?:fail(?:s|ed|ure)?|refused|denied|not found|no such)\b", re.IGNORECASE)
_WRAPPED = re.compile(r"\[[^\]]*\]\(([^)]*)\)\Z")


class Cited(msgspec.Struct):
    """Claims with their links. `unsupported` counts those without one that holds."""

    sentences: list[str] = msgspec.field(default_factory=list)
    evidence: list[Evidence] = msgspec.field(default_factory=list)
    unsupported: int = 0
    invented: int = 0
    """Ids that name nothing in the record."""
    contradicted: int = 0
    """Claims of a failure that cite nothing but calls that did not fail."""

    @property
    def explanation(self) -> str:
        """The claims as one paragraph with links."""
        return " ".join(self.sentences)

    @property
    def supported(self) -> int:
        """How many claims have evidence that may carry them."""
        return len(self.sentences) - self.unsupported - self.contradicted


def read_id(text: str) -> Link | None:
    """Return the link that an evidence id of a model's stands for, None when it is none.

    "syscall/12", "ev:syscall/12" and "[text](ev:syscall/12)" are the same; a hash is left out, because it is
    the model's word.
    """
    text = text.strip()
    if (wrapped := _WRAPPED.match(text)) is not None:
        text = wrapped[1]
    text = text.removeprefix("ev:").partition("~")[0]
    try:
        return parse_link(f"ev:{text}")
    except TriageError:
        return None


def cite(run: Run, claims: Iterable[Claim], redaction: Redaction) -> Cited:
    """Look up what each claim cites."""
    result = Cited()
    for claim in claims:
        says = inert(claim.says.rstrip(" ."), MAX_SAYS)
        if not says:
            continue
        links, why = _links(run, claim, redaction, result)
        if not links:
            result.unsupported += 1
            result.sentences.append(f"{says}{why} {UNSUPPORTED}.")
            result.evidence.append(Evidence(link="", says=f"{says}{why}", supported=False))
            continue
        if _contradicted(run, claim, links):
            result.contradicted += 1
            why += " (what it cites did not fail)"
        shown = ", ".join(f"[{link.kind} {_shown(link)}]({text})" for link, text in links)
        result.sentences.append(f"{says} ({shown}){why}.")
        result.evidence += [Evidence(link=text, says=f"{says}{why}") for _, text in links]
    return result


def checked(run: Run, evidence: Iterable[Evidence]) -> list[Evidence]:
    """Return evidence that was kept, with links only where they still hold."""
    found = []
    for one in evidence:
        holds = one.supported and bool(one.link) and resolve(run, one.link).stands
        found.append(one if holds else Evidence(link="", says=one.says, supported=False))
    return found


def _links(run: Run, claim: Claim, redaction: Redaction, result: Cited) -> tuple[list[tuple[Link, str]], str]:
    """Return the links of a claim that hold, and what is wrong with the others, in brackets."""
    found: list[tuple[Link, str]] = []
    missing: list[str] = []
    silent: list[str] = []
    for text in claim.evidence[:_MAX_IDS]:
        link = read_id(text)
        try:
            made = (
                make_link(run, link.kind, link.id, offset=link.offset, length=link.length, line=link.line)
                if link
                else ""
            )
        except TriageError:
            made = ""
        if link is None or not made:
            missing.append(inert(text, 60) or "an empty id")
        elif claim.quote and not _holds(run, made, claim.quote, redaction):
            silent.append(f"{link.kind} {_shown(link)}")
        elif len(found) < _MAX_LINKS:
            found.append((link, made))
    result.invented += len(missing)
    problems = []
    if missing:
        problems.append(f"there is no {_listed(missing)} in this run")
    if silent and not found:
        problems.append(f"{_listed(silent)} {'do' if len(silent) > 1 else 'does'} not say so")
    if not claim.evidence:
        problems.append("no evidence is named")
    return found, f" ({'; '.join(problems)})" if problems else ""


def _contradicted(run: Run, claim: Claim, links: list[tuple[Link, str]]) -> bool:
    """Tell whether a claim without a quote speaks of a failure, and cites only calls that worked."""
    if claim.quote or _FAILURE.search(claim.says) is None or any(one.kind != "syscall" for one, _ in links):
        return False
    calls = [run.syscall(int(one.id[:18])) for one, _ in links if one.id.isdecimal()]
    return all(call is not None and call.errno is None and (call.ret or 0) > 0 for call in calls)


def _listed(names: list[str]) -> str:
    """Return the first names in words, and how many there are more."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _MAX_LINKS} more" if len(names) > _MAX_LINKS else ""
    return f"{', '.join(names[:_MAX_LINKS])}{more}"


def _holds(run: Run, link: str, quote: str, redaction: Redaction) -> bool:
    """Whether the evidence holds the quoted words; blanks and case do not count."""
    text = resolve(run, link).text
    wanted = _plain(quote)
    return bool(wanted) and (wanted in _plain(text) or wanted in _plain(redaction.text(text)))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _shown(link: Link) -> str:
    line = f" line {link.line}" if link.line is not None else ""
    return inert(link.id, 40) + line
