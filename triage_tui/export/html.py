"""Render a report as one HTML file: no script, nothing loaded from anywhere, all text escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path

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
    Words,
)
from triage_tui.language.catalogue import ENGLISH_CATALOGUE, Catalogue

_STANDS = {
    "for": "supports it",
    "against": "speaks against it",
    "unsupported": "unsupported",
    "left out": "left out of this bundle",
}


def render_html(document: Document, language: Catalogue = ENGLISH_CATALOGUE) -> str:
    """Return the report, which is in `language`, as an HTML document."""
    say = language.fill
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    places = _places(document)
    entries = "".join(
        f'<li><a href="#{section.anchor}">{escape(section.title)}</a></li>' for section in document.sections
    )
    body = _first_of_each_id("".join(_section(section, places, language) for section in document.sections))
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="{escape(language.code)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(document.title)} - {escape(document.subtitle)}</title>\n"
        f"<style>{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#report">' + escape(say("Go to the report")) + "</a>\n"
        f"<header><h1><bdi>{escape(document.title)}</bdi></h1>"
        f'<p class="subtitle">{escape(document.subtitle)}</p></header>\n'
        f'<nav aria-label="{escape(say("Sections"))}"><ul>{entries}</ul></nav>\n'
        f'<main id="report">\n{body}</main>\n'
        f"<footer><p>{escape(document.foot)}</p></footer>\n</body>\n</html>\n"
    )


def _places(document: Document) -> frozenset[str]:
    """Return the anchors of rows and lines that are there to be cited."""
    found: set[str] = set()
    for section in document.sections:
        for block in section.blocks:
            match block:
                case Listing():
                    found.update(line.anchor for line in block.lines)
                case Table():
                    found.update(row.anchor for row in block.rows)
                case _:
                    pass
    return frozenset(found - {""})


def _first_of_each_id(body: str) -> str:
    """Return `body` without ids that it had before: records may name two registers alike.

    Text has no quotes of its own here, so what looks like an id is one.
    """
    seen: set[str] = set()

    def once(match: re.Match[str]) -> str:
        if match[1] in seen:
            return ""
        seen.add(match[1])
        return match[0]

    return re.sub(r' id="([^"]*)"', once, body)


def _section(section: Section, places: frozenset[str], language: Catalogue) -> str:
    head = f'<section aria-labelledby="{section.anchor}">\n<h{section.level} id="{section.anchor}">'
    blocks = "".join(_block(block, places, language) for block in section.blocks)
    return f"{head}<bdi>{escape(section.title)}</bdi></h{section.level}>\n{blocks}</section>\n"


def _block(block: Block, places: frozenset[str], language: Catalogue) -> str:
    match block:
        case Paragraph():
            strong = ' class="strong"' if block.strong else ""
            return f"<p{strong}>{_words(block.words, places)}</p>\n"
        case Facts():
            rows = "".join(f"<dt>{escape(k)}</dt><dd>{_words(words, places)}</dd>" for k, words in block.rows)
            return f"<dl>{rows}</dl>\n"
        case Bullets():
            return "<ul>" + "".join(f"<li>{_words(words, places)}</li>" for words in block.items) + "</ul>\n"
        case Claims():
            return (
                '<ul class="claims">'
                + "".join(_claim(claim, places, language) for claim in block.claims)
                + "</ul>\n"
            )
        case Listing():
            return _listing(block)
        case Table():
            return _table(block, language)


def _words(words: Words, places: frozenset[str]) -> str:
    return "".join(_span(span, places) for span in words)


def _span(span: Span, places: frozenset[str]) -> str:
    text = f"<code>{escape(span.text)}</code>" if span.code else f"<bdi>{escape(span.text)}</bdi>"
    return f'<a href="#{span.to}">{text}</a>' if span.to in places else text


def _claim(claim: Claim, places: frozenset[str], language: Catalogue) -> str:
    problem = f' <span class="problem">{escape(claim.problem)}</span>' if claim.problem else ""
    title = f"<bdi>{escape(claim.title)}</bdi>"
    if claim.to in places:
        title = f'<a href="#{claim.to}">{title}</a>'
    quote = f"<pre>{escape(chr(10).join(claim.quote))}</pre>" if claim.quote else ""
    stands = escape(language.fill(_STANDS[claim.stands]))
    return (
        f'<li class="{claim.stands.replace(" ", "-")}"><p><span class="stands">{stands}</span> '
        f"{_words(claim.says, places)}{problem}</p>"
        f'<p class="source">{title} <code>{escape(claim.link)}</code></p>{quote}</li>'
    )


def _listing(block: Listing) -> str:
    lines = []
    for line in block.lines:
        kind = {"+": "new", "-": "old"}.get(line.number, "") if block.kind == "diff" else ""
        kinds = " ".join(one for one in (kind, "cited" if line.cited else "") if one)
        name = f' id="{line.anchor}"' if line.anchor else ""
        number = f'<span class="number">{escape(line.number)}</span> ' if line.number else ""
        lines.append(f'<span class="line {kinds}"{name}>{number}<bdi>{escape(line.text)}</bdi></span>\n')
    caption = f"<figcaption><bdi>{escape(block.caption)}</bdi></figcaption>" if block.caption else ""
    return f'<figure>{caption}<pre tabindex="0">{"".join(lines)}</pre></figure>\n'


def _table(block: Table, language: Catalogue) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in block.header)
    rows = []
    for row in block.rows:
        name = f' id="{row.anchor}"' if row.anchor else ""
        cited = ' class="cited"' if row.cited else ""
        first, *others = row.cells
        cells = f'<th scope="row"><bdi>{escape(first)}</bdi></th>'
        cells += "".join(f"<td><bdi>{escape(cell)}</bdi></td>" for cell in others)
        rows.append(f"<tr{name}{cited}>{cells}</tr>\n")
    caption = f"<caption><bdi>{escape(block.caption)}</bdi></caption>" if block.caption else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(language.fill("Table"))}">'
        f"<table>{caption}"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{''.join(rows)}</tbody></table></div>\n"
    )
