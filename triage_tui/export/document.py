"""A report as data: sections of paragraphs, claims, tables and listings. Renderers turn it into a file.

All text in a document is printable and holds no secrets (see `triage_tui.text` and `runs.redaction`): the
builders see to it, and renderers only have to mind the syntax of their own format.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, NamedTuple


class Span(NamedTuple):
    """A piece of text. `code` is text as a program has it; `to` names the place in the document it cites."""

    text: str
    code: bool = False
    to: str = ""


Words = tuple[Span, ...]
"""One paragraph."""


class Paragraph(NamedTuple):
    """Words on their own."""

    words: Words
    strong: bool = False


class Facts(NamedTuple):
    """Labels and what they are of this run."""

    rows: tuple[tuple[str, Words], ...]


class Bullets(NamedTuple):
    """A list."""

    items: tuple[Words, ...]


class Line(NamedTuple):
    """One line of a listing; `anchor` names it for what cites it, `cited` tells that something does."""

    text: str
    anchor: str = ""
    cited: bool = False
    number: str = ""
    """What stands before it: its number, its address, the sign of a difference."""


class Listing(NamedTuple):
    """Lines as they are."""

    lines: tuple[Line, ...]
    caption: str = ""
    kind: Literal["text", "diff"] = "text"


class TableRow(NamedTuple):
    """Cells of one row."""

    cells: tuple[str, ...]
    anchor: str = ""
    cited: bool = False


class Table(NamedTuple):
    """Rows with a heading for each column."""

    header: tuple[str, ...]
    rows: tuple[TableRow, ...]
    caption: str = ""


class Claim(NamedTuple):
    """One claim and the evidence that it rests on, quoted."""

    stands: Literal["for", "against", "unsupported", "left out"]
    says: Words
    title: str
    """What the evidence is, in words: "syscall 11"."""
    link: str
    """Its link, with offsets and hash."""
    quote: tuple[str, ...] = ()
    to: str = ""
    problem: str = ""
    """Why the claim is not supported."""


class Claims(NamedTuple):
    """Claims about one hypothesis."""

    claims: tuple[Claim, ...]


Block = Paragraph | Facts | Bullets | Listing | Table | Claims


class Section(NamedTuple):
    """A part of the report under its own heading."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]
    level: Literal[2, 3] = 2


class Document(NamedTuple):
    """A report on one run."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    foot: str = ""


def anchor(kind: str, *parts: object) -> str:
    """Return the name of a place in a document: the same for the same parts, another one for others."""
    text = "-".join(str(part) for part in parts if part is not None)
    word = re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-")
    # What was changed on the way, or cut, is told apart by a hash.
    tail = "" if word == text else "-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kind}-{word}{tail}"
