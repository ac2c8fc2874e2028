"""What a report cites: each link of the diagnosis, quoted, and with a place in the document."""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.errors import TriageError
from triage_tui.export.document import Claim, Span, Words, anchor
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.runs.evidence import IN_TEXT, Link, Resolved, links_in, parse_link, resolve
from triage_tui.runs.masked_memory import masked_memory
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.text import safe_block, safe_line

MAX_CLAIMS = 40
"""Claims of one hypothesis that are written out."""
MAX_QUOTE_LINES = 12
_BYTES_A_LINE = 16
_MAX_TEXT = 20_000


class Citing:
    """The evidence of one run, and the one way in which its text gets into a report."""

    def __init__(self, run: Run, redaction: Redaction) -> None:
        self.run = run
        self.redaction = redaction
        self.links: list[Link] = []
        """All that the diagnosis and the verdict cite, each once, in their order."""
        seen: set[str] = set()
        for text in self._texts():
            try:
                link = parse_link(text)
            except TriageError:
                continue
            if (name := place(link)) not in seen:
                seen.add(name)
                self.links.append(link)

    def _texts(self) -> list[str]:
        found: list[str] = []
        diagnosis = self.run.diagnosis
        for hypothesis in diagnosis.hypotheses if diagnosis else []:
            for entries in (hypothesis.evidence, hypothesis.contrary, hypothesis.below):
                found += [entry.link for entry in entries[:MAX_CLAIMS]]
            found += [link for _, link in links_in(hypothesis.explanation[:_MAX_TEXT])]
            if hypothesis.opinion is not None:
                found += [entry.link for entry in hypothesis.opinion.evidence[:MAX_CLAIMS]]
        verdict = read_verdict(self.run.dir)
        return found + (verdict.links[:MAX_CLAIMS] if verdict is not None else [])

    def of_kind(self, kind: str) -> list[Link]:
        """Return the cited links of one kind."""
        return [link for link in self.links if link.kind == kind]

    def line(self, text: str, limit: int = 1000) -> str:
        """Return untrusted text as one line that may be shown, without secrets."""
        return safe_line(self.redaction.text(text), limit)

    def block(self, text: str, lines: int, limit: int = 1000) -> list[str]:
        """Return untrusted text as lines that may be shown, without secrets."""
        return safe_block(self.redaction.text(text.removesuffix("\n")), lines, limit).split("\n")

    def prose(self, text: str, limit: int = _MAX_TEXT) -> Words:
        """Return a paragraph; evidence that it cites leads to its place in the document."""
        text = text[: limit + 1]
        spans: list[Span] = []
        end = 0
        for match in IN_TEXT.finditer(text):
            spans.append(Span(self.line(text[end : match.start()], limit)))
            spans.append(Span(self.line(match["text"], 400), True, self._to(match["link"])))
            end = match.end()
        spans.append(Span(self.line(text[end:], limit)))
        return tuple(span for span in spans if span.text)

    def _to(self, link: str) -> str:
        found = resolve(self.run, link)
        return place(found.link) if found.exists else ""

    def cited(self, text: str, link: str, limit: int = 600) -> Words:
        """Return a sentence with the evidence that it rests on named behind it, where there is some."""
        words = self.prose(text, limit)
        found = resolve(self.run, link) if link else None
        if found is None or not found.holds:
            return words
        return (*words, Span(" "), Span(self.line(found.title, 200), True, place(found.link)))

    def claim(self, entry: Evidence, against: bool = False) -> Claim:
        """Return one claim with what it rests on quoted; what does not resolve is said to be unsupported."""
        found = resolve(self.run, entry.link)
        problem = ""
        left_out = bool(found.left_out) and entry.supported
        if left_out:
            problem = f"the evidence was left out of this bundle: {found.left_out}"
        elif not found.exists:
            problem = "there is no such evidence in this run"
        elif not found.hash_ok:
            problem = "the evidence is another one than when this was said"
        elif not entry.supported:
            problem = "the evidence was not there when this was said"
        return Claim(
            stands="left out" if left_out else "unsupported" if problem else "against" if against else "for",
            says=self.prose(entry.says, 2000),
            title=self.line(found.title, 200),
            link=self.line(entry.link, 300),
            quote=tuple(self.quote(found)) if found.exists else (),
            to=place(found.link) if found.exists else "",
            problem=problem,
        )

    def quote(self, found: Resolved) -> list[str]:
        """Return what evidence says, a few lines of it."""
        if found.link.kind == "mem":
            return self.hex_lines(*masked_memory(self.run, found, self.redaction), found.link.offset or 0)
        lines = [line for line in self.block(found.text, MAX_QUOTE_LINES, 400) if line.strip()]
        return lines or ["(empty)"]

    def hex_lines(
        self, data: bytes, hidden: Sequence[int], offset: int, limit: int = MAX_QUOTE_LINES
    ) -> list[str]:
        """Return bytes in hex and as text; `hidden` are the places of those that secrets were masked with."""
        if not data:
            return ["(left out: it holds what looks like a secret, and cannot be masked in place)"]
        places = frozenset(hidden)
        lines = []
        for start in range(0, min(len(data), limit * _BYTES_A_LINE), _BYTES_A_LINE):
            piece = data[start : start + _BYTES_A_LINE]
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
            numbers = " ".join(
                "**" if start + at in places else f"{byte:02x}" for at, byte in enumerate(piece)
            )
            lines.append(f"+{offset + start:04x}  {numbers:<47}  {text}")
        if len(data) > limit * _BYTES_A_LINE:
            lines.append(f"… {len(data) - limit * _BYTES_A_LINE} more bytes")
        return lines


def place(link: Link) -> str:
    """Return the name of the place in a document where what a link points to stands."""
    if link.kind in ("code", "log"):
        return anchor(link.kind, link.id, f"L{link.line}" if link.line is not None else None)
    return anchor(link.kind, link.id)
