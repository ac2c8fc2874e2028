"""A report in another language: our own words are translated, text of the guest and all quotes stay."""

from __future__ import annotations

import re
from typing import Any

from triage_tui.export.document import (
    Block,
    Bullets,
    Claim,
    Claims,
    Document,
    Facts,
    Listing,
    Paragraph,
    Section,
    Span,
    Table,
    TableRow,
    Words,
)
from triage_tui.language.catalogue import Catalogue

# Private characters, which no text that may be shown holds, stand for code while words are translated.
_OPEN, _CLOSE = "\ue010", "\ue011"
_TOKEN = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_NUMBER = re.compile(r"\d+\. ")
_COLON = Span(": ")
_CODED_COLUMNS = frozenset(
    (
        "#", "when", "run", "address", "module", "function", "register", "value", "before", "more", "target",
        "group",
    )
)  # fmt: skip
"""Columns of tables that hold no words of ours."""


def translated(document: Document, language: Catalogue) -> Document:
    """Return the report in `language`; what its catalogue lacks stays English."""
    return document._replace(
        title=document.title,
        subtitle=language.sentence(document.subtitle),
        sections=tuple(_section(section, language) for section in document.sections),
        foot=language.sentence(document.foot),
    )


def _section(section: Section, language: Catalogue) -> Section:
    # A proposal has a number in front of its title.
    number = _NUMBER.match(section.title)
    before = number[0] if number is not None else ""
    return section._replace(
        title=before + language.sentence(section.title[len(before) :]),
        blocks=tuple(_block(block, language) for block in section.blocks),
    )


def _block(block: Block, language: Catalogue) -> Block:
    match block:
        case Paragraph():
            return block._replace(words=_words(block.words, language))
        case Facts():
            facts = tuple((language.sentence(k), _words(words, language)) for k, words in block.rows)
            return block._replace(rows=facts)
        case Bullets():
            return block._replace(items=tuple(_words(words, language) for words in block.items))
        case Claims():
            return block._replace(claims=tuple(_claim(claim, language) for claim in block.claims))
        case Listing():
            return _listing(block, language)
        case Table():
            header = tuple(language.sentence(name) for name in block.header)
            rows = tuple(_row(row, block.header, language) for row in block.rows)
            return block._replace(header=header, rows=rows, caption=language.sentence(block.caption))


def _row(row: TableRow, header: tuple[str, ...], language: Catalogue) -> TableRow:
    cells = tuple(
        cell if name in _CODED_COLUMNS else language.listed(cell)
        for name, cell in zip(header, row.cells, strict=True)
    )
    return row._replace(cells=cells)


def _listing(block: Listing, language: Catalogue) -> Listing:
    # Lines are quotes; only that some are left out is ours to say.
    lines = tuple(
        line._replace(text=language.sentence(line.text))
        if not line.number.strip() and line.text.startswith("…") and not line.anchor
        else line
        for line in block.lines
    )
    return block._replace(lines=lines, caption=language.sentence(block.caption))


def _claim(claim: Claim, language: Catalogue) -> Claim:
    return claim._replace(
        says=_words(claim.says, language),
        title=language.sentence(claim.title),
        problem=language.sentence(claim.problem),
    )


def _words(words: Words, language: Catalogue) -> Words:
    """Translate a paragraph in which code, and what leads to evidence, cannot be taken apart.

    Names with a colon behind them are no part of the sentence that follows.
    """
    at = words.index(_COLON) + 1 if _COLON in words else 0
    if at and all(span.code or span.to or span.text in (", ", _COLON.text) for span in words[:at]):
        return (*words[:at], *_words(words[at:], language))
    kept = [span for span in words if span.code or span.to]
    text, number = "", 0
    for span in words:
        if span.code or span.to:
            text += f"{_OPEN}{number}{_CLOSE}"
            number += 1
        elif _OPEN in span.text or _CLOSE in span.text:
            return words
        else:
            text += span.text
    if not text:
        return words
    other = language.paragraph(text)
    if other == text:
        other = language.sentence(text, "headline")
    if sorted(_TOKEN.findall(other)) != sorted(_TOKEN.findall(text)):
        return words
    pieces: list[Any] = _TOKEN.split(other)
    spans = [kept[int(piece)] if index % 2 else Span(piece) for index, piece in enumerate(pieces)]
    return tuple(span for span in spans if span.text)
