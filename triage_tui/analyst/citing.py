"""The model's claims against the record: what it cites is looked up, and what does not hold is marked.

A link that does not resolve never reaches the diagnosis as a link. A claim without any evidence that
resolves is unsupported, whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from triage_tui.analyst.replies import Claim
from triage_tui.diagnosis.cite import UNSUPPORTED, inert
from triage_tui.errors import TriageError
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.runs.evidence import Link, make_link, parse_link, resolve
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction

MAX_SAYS = 400
_MAX_LINKS = 4
_WRAPPED = re.compile(r"\[[^\]]*\]\(([^)]*)\)\Z")


@dataclass
class Cited:
    """Claims with their links. `unsupported` counts those without one that holds."""

    sentences: list[str] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    unsupported: int = 0
    invented: int = 0
    """Ids that name nothing in the record."""

    @property
    def explanation(self) -> str:
        """The claims as one paragraph with links."""
        return " ".join(self.sentences)

    @property
    def supported(self) -> int:
        """How many claims have evidence."""
        return len(self.sentences) - self.unsupported


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
            result.sentences.append(f"{says} {UNSUPPORTED}.")
            result.evidence.append(Evidence(link="", says=f"{says}{why}", supported=False))
            continue
        shown = ", ".join(f"[{link.kind} {_shown(link)}]({text})" for link, text in links)
        result.sentences.append(f"{says} ({shown}).")
        result.evidence += [Evidence(link=text, says=says) for _, text in links]
    return result


def checked(run: Run, evidence: Iterable[Evidence]) -> list[Evidence]:
    """Return evidence that was kept, with links only where they still hold."""
    found = []
    for one in evidence:
        resolved = resolve(run, one.link) if one.link else None
        holds = one.supported and resolved is not None and resolved.exists and resolved.hash_ok
        found.append(one if holds else Evidence(link="", says=one.says, supported=False))
    return found


def _links(run: Run, claim: Claim, redaction: Redaction, result: Cited) -> tuple[list[tuple[Link, str]], str]:
    """Return the links of a claim that hold, and why there is none."""
    found: list[tuple[Link, str]] = []
    why = " (no evidence is named)"
    for text in claim.evidence[:_MAX_LINKS]:
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
            result.invented += 1
            why = f" (there is no {inert(text, 60)} in this run)"
        elif claim.quote and not _holds(run, made, claim.quote, redaction):
            why = f" ({link.kind} {_shown(link)} does not say so)"
        else:
            found.append((link, made))
    return found, why


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
