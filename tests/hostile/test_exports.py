"""Attacks in exports: each format is read by a real reader of it, and nothing of the guest is live there."""

from __future__ import annotations

import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.export.places import exported
from tests.hostile.corpus import ATTACKS, MARK
from tests.hostile.planting import plant_workspace
from tests.hostile.stream import check_text
from tests.ui import fixtures
from triage_tui.export.document import (
    Claim,
    Claims,
    Document,
    Line,
    Listing,
    Paragraph,
    Section,
    Span,
    Table,
    TableRow,
)
from triage_tui.export.html import render_html
from triage_tui.export.markdown import render_markdown
from triage_tui.export.unpacking import unpack_bundle
from triage_tui.text import safe_line

RUNS = (fixtures.EXIT_RUN, fixtures.RETRY_RUN)
_TAGS = set(
    re.findall(
        r"\w+",
        "html head meta title style body a header h1 h2 h3 p nav ul li main section dl dt dd bdi code pre"
        " figure figcaption span div table caption thead tbody tr th td footer",
    )
)
_ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "href", "id", "aria-label",
    "aria-labelledby", "tabindex", "scope", "role",
}  # fmt: skip
_BLOCKS = {
    "heading_open", "heading_close", "paragraph_open", "paragraph_close", "bullet_list_open",
    "bullet_list_close", "list_item_open", "list_item_close", "inline", "fence", "hr",
}  # fmt: skip
_INLINE = {"text", "code_inline", "strong_open", "strong_close", "softbreak", "text_special"}


class Page(HTMLParser):
    """Elements, attributes and the text between them; `left` are those that were never closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.left: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.left.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.left.pop() == tag, f"{tag} is closed where it was not open"

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def check_page(text: str) -> Page:
    check_text(text)
    page = Page(text)
    assert set(page.tags) <= _TAGS
    assert {name for name, _ in page.attributes} <= _ATTRIBUTES
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert page.left == []
    assert page.tags.count("style") == page.tags.count("title") == page.tags.count("main") == 1
    return page


def check_markdown(text: str) -> list[Token]:
    check_text(text)
    # Everything that a reader may have switched on: tables, links in plain text, strikethrough.
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(text)
    assert {token.type for token in tokens} <= _BLOCKS
    for token in tokens:
        for child in token.children or []:
            assert child.type in _INLINE, f"{child.type}: {child.content[:80]!r}"
            if child.type == "text":
                for sign in ("://", "www.", "@", "<", "&", "[", "]", "`", "|"):
                    assert sign not in child.content, f"{sign} is live in {child.content[:80]!r}"
                assert not re.search(r"[#!]\d", child.content)
    return tokens


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant_workspace(tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("run_id", RUNS)
def test_pages_hold_nothing_live(workspace: Path, run_id: str) -> None:
    page = check_page(exported(workspace, "html", run_id).read_text())
    assert page.text.count(MARK) > 100, "the attacks are there, as text"
    assert f"<script>alert({MARK})</script>" in page.text
    assert "correct-horse" not in page.text


@pytest.mark.parametrize("run_id", RUNS)
def test_markdown_holds_nothing_live(workspace: Path, run_id: str) -> None:
    text = exported(workspace, "markdown", run_id).read_text()
    headings = [t for t in check_markdown(text) if t.type == "heading_open"]
    assert text.count(MARK) > 100
    assert len(headings) < 40, "no heading came from data"
    assert "correct-horse" not in text


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_in_every_kind_of_block(attack: str) -> None:
    shown = safe_line(attack, 2000)
    for text in (shown, f"a {shown}", f"{shown} b", shown[::-1]):
        words = (Span(text), Span(text, True), Span(text, to="nowhere"))
        blocks = (
            Paragraph(words),
            Paragraph(words, strong=True),
            Listing((Line(text), Line(text, number="+")), text, "diff"),
            Table(("a", "b"), (TableRow((text, text)),), text),
            Claims(
                (
                    Claim("for", words, text, text, (text, text), "x"),
                    Claim("against", words, text, text, (text,), text),
                    Claim("unsupported", words, text, text, problem=text),
                )
            ),
        )
        document = Document(text, text, (Section(text, "x", blocks), Section("y", "z", blocks, 3)), text)
        check_markdown(render_markdown(document))
        check_page(render_html(document))


@pytest.mark.parametrize("run_id", RUNS)
def test_bundles_hold_plain_names_and_no_secret(workspace: Path, tmp_path: Path, run_id: str) -> None:
    path = exported(workspace, "json", run_id, memory=True)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        assert all(b"correct-horse" not in archive.read(name) for name in names)
    for name in names:
        assert name.isascii()
        assert name.isprintable()
        assert ".." not in name
    for entry in manifest["left_out"]:
        check_text(entry["name"])
        check_text(entry["why"])
    unpack_bundle(path, tmp_path)
    check_markdown(exported(tmp_path, "markdown", run_id).read_text())
