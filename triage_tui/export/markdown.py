"""Render a report as Markdown that reads well in a ticket and as plain text.

Text of the guest, of a model or of a foreign record never becomes a link, an image, HTML, a mention or a
list: whatever is not a plain word goes into a code span, and tables and listings are fenced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.cells import cell_len

from triage_tui.export.document import (
    Block,
    Bullets,
    Claim,
    Claims,
    Document,
    Facts,
    Line,
    Listing,
    Paragraph,
    Section,
    Span,
    Table,
    Words,
)
from triage_tui.language.catalogue import ENGLISH_CATALOGUE, Catalogue

_PLAIN = re.compile(r"[(\"']?(?:[^\W_]+(?:[-'][^\W_]+)*|\d+\.\d+)[)\"']?[.,;:!?]?[)\"']?\Z|[.,;:]\Z")
"""A word that no reader of Markdown takes for anything else."""
_WIDE = "\u3001\u3002\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\u201c\u201d\u2026\u3400-\u4dbf\u4e00-\u9fff"
"""Letters and punctuation of Chinese: they stand beside words without spaces; Markdown takes them as text."""
_PIECES = re.compile(rf"[{_WIDE}]+|[^{_WIDE}]+")
_WIDE_PIECE = re.compile(rf"[{_WIDE}]+\Z")
_LIST_NUMBER = re.compile(r"(\d+)([.)])(?=\s|\Z)")
_END = re.compile(r"[.,;:!?]?\Z")
_STANDS = {"for": "+", "against": "-", "unsupported": "?", "left out": "~"}


def render_markdown(document: Document, language: Catalogue = ENGLISH_CATALOGUE) -> str:
    """Return the report, which is in `language`, as Markdown."""
    parts = [f"# {_prose(document.title)}", _prose(document.subtitle)]
    for section in document.sections:
        parts += _section(section, language)
    parts.append(f"---\n\n{_prose(document.foot)}")
    return "\n\n".join(parts) + "\n"


def _section(section: Section, language: Catalogue) -> list[str]:
    head = f"{'#' * section.level} {_prose(section.title)}"
    return [head, *(_block(block, language) for block in section.blocks)]


def _block(block: Block, language: Catalogue) -> str:
    match block:
        case Paragraph():
            words = _words(block.words)
            return f"**{words}**" if block.strong and words else words
        case Facts():
            return "\n".join(f"- {label}: {_words(words) or '-'}" for label, words in block.rows)
        case Bullets():
            return "\n".join(f"- {_words(words)}" for words in block.items)
        case Listing():
            caption = f"{_prose(block.caption)}\n\n" if block.caption else ""
            return caption + fenced(_numbered(block.lines), "diff" if block.kind == "diff" else "text")
        case Table():
            caption = f"{_prose(block.caption)}\n\n" if block.caption else ""
            return caption + fenced(_columns(block))
        case Claims():
            return "\n\n".join(_claim(claim, language) for claim in block.claims)


def _claim(claim: Claim, language: Catalogue) -> str:
    against = language.fill("against this: ") if claim.stands == "against" else ""
    problem = ""
    if claim.stands == "left out":
        problem = f" ({_prose(claim.problem)})"
    elif claim.problem:
        problem = f" ({language.fill('unsupported: {why}', why=_prose(claim.problem))})"
    head = f"- {against}{_words(claim.says)}{problem}"
    quoted = fenced([f"{_STANDS[claim.stands]} {claim.title}  [{claim.link}]", *claim.quote])
    return head + "\n\n" + "\n".join(f"  {line}" for line in quoted.split("\n"))


def _numbered(lines: Iterable[Line]) -> list[str]:
    return [
        f"{line.number}{' ' if line.number.strip() not in ('+', '-', '') else ''}{line.text}"
        for line in lines
    ]


def _columns(table: Table) -> list[str]:
    rows = [table.header, *(row.cells for row in table.rows)]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(table.header))]
    out = []
    for row in rows:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        out.append("  ".join(cells).rstrip())
    return out


def fenced(lines: Iterable[str], language: str = "text") -> str:
    """Return lines as a code block that none of them can end."""
    body = list(lines)
    longest = max((len(run) for line in body for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *body, fence])


def code_span(text: str) -> str:
    """Return text as inline code that nothing in it can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{ticks}{pad}{text}{pad}{ticks}" if text.strip() else ""


def _words(words: Words) -> str:
    parts = [code_span(span.text) if span.code else _prose_words(span) for span in words]
    # Code spans that touch would be read as one with other ticks.
    text = ""
    for part in parts:
        text += " " if text.endswith("`") and part.startswith("`") else ""
        text += part
    return (
        _LIST_NUMBER.sub(r"\1\\\2", text.strip(), count=1)
        if _LIST_NUMBER.match(text.strip())
        else text.strip()
    )


def _prose_words(span: Span) -> str:
    before = " " if span.text.startswith(" ") else ""
    after = " " if span.text.endswith(" ") else ""
    return before + _prose(span.text) + after


def _prose(text: str) -> str:
    """Return text with all that is not a plain word as code."""
    out = ""
    strange = ""

    def end_strange() -> None:
        nonlocal out, strange
        if strange:
            tail = _END.search(strange)
            mark = tail[0] if tail and len(strange) > 1 else ""
            out += code_span(strange[: len(strange) - len(mark)]) + mark
            strange = ""

    for word in text.split():
        for number, piece in enumerate(_PIECES.findall(word)):
            between = "" if number else " "
            if _PLAIN.match(piece) or _WIDE_PIECE.match(piece):
                end_strange()
                out += (between if out else "") + piece
            elif strange:
                strange += between + piece
            else:
                out += between if out else ""
                strange = piece
    end_strange()
    return _LIST_NUMBER.sub(r"\1\\\2", out, count=1) if _LIST_NUMBER.match(out) else out
