"""The report on a run: what it says, where its evidence leads, and that both renderings hold it."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from tests.export.places import RUN, exported, report
from tests.ui import fixtures
from triage_tui.export.document import Claims, Listing, Table
from triage_tui.export.markdown import code_span, fenced
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.runs.events import append_event
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json


class Page(HTMLParser):
    """What a browser would make of a page: its elements, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def having(self, attribute: str) -> list[str]:
        return [value or "" for _, attrs in self.elements if (value := attrs.get(attribute)) is not None]


def titles(workspace: Path, run_id: str = RUN) -> list[str]:
    return [section.title for section in report(workspace, run_id).sections]


def test_a_report_has_every_part(workspace: Path) -> None:
    assert titles(workspace) == [
        "What happened",
        "Why (1): The network interface eth0 does not exist",
        "Why (2): A file is absent",
        "What is proposed",
        *[title for title in titles(workspace) if title[0].isdigit()],
        "System calls",
        "Backtrace",
        "Code that is cited",
        "Registers",
        "Memory that is cited",
        "What the guest printed",
        "Decisions and events",
        "What could not be had",
    ]


def test_evidence_stands_beside_each_claim_with_its_offsets(workspace: Path) -> None:
    claims = [
        claim
        for section in report(workspace).sections
        for block in section.blocks
        if isinstance(block, Claims)
        for claim in block.claims
    ]
    assert {claim.stands for claim in claims} >= {"for"}
    memory = next(claim for claim in claims if claim.link.startswith("ev:mem/"))
    assert "+0:4" in memory.link
    assert memory.quote[0].startswith("+0000  65 74 68 30")
    call = next(claim for claim in claims if claim.link.startswith("ev:syscall/11"))
    assert "SIOCGIFINDEX" in call.quote[0]


def test_a_claim_whose_evidence_is_absent_or_changed_is_unsupported(workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / RUN
    diagnosis = load_run(run_dir).diagnosis
    assert diagnosis
    diagnosis.hypotheses[0].evidence = [
        Evidence(link="ev:syscall/999", says="it never was"),
        Evidence(link="ev:syscall/11~0123456789ab", says="it was otherwise"),
    ]
    write_atomic(run_dir / "diagnosis.json", encode_json(diagnosis))
    text = exported(workspace).read_text()
    assert "unsupported: there is no such evidence in this run" in text
    assert "unsupported: the evidence is another one than when this was said" in text


def test_every_link_of_the_page_leads_to_a_place_in_it(workspace: Path) -> None:
    page = Page(exported(workspace, "html").read_text())
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    links = page.having("href")
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert any(link.startswith("#syscall-") for link in links)
    assert any(link.startswith("#code-") for link in links)


def test_what_a_record_names_twice_has_one_id(workspace: Path) -> None:
    path = workspace / "ai_runs" / RUN / "snapshot.json"
    snapshot = msgspec.json.decode(path.read_bytes())
    snapshot["regs"] += snapshot["regs"][:2] * 2
    write_atomic(path, encode_json(snapshot))
    page = Page(exported(workspace, "html").read_text())
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.having("href")} <= set(ids)


def test_the_page_loads_and_runs_nothing(workspace: Path) -> None:
    text = exported(workspace, "html").read_text()
    page = Page(text)
    assert not page.having("src")
    assert all(link.startswith("#") for link in page.having("href"))
    assert not [attrs for _, attrs in page.elements if any(name.startswith("on") for name in attrs)]
    assert not {tag for tag, _ in page.elements} & {
        "script",
        "iframe",
        "object",
        "embed",
        "img",
        "link",
    }
    [policy] = [attrs["content"] for tag, attrs in page.elements if tag == "meta" and "http-equiv" in attrs]
    assert policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_headings_go_down_step_by_step(workspace: Path) -> None:
    page = Page(exported(workspace, "html").read_text())
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert {tag for tag, _ in page.elements} >= {"main", "nav", "header", "footer"}


def test_markdown_tells_the_whole_story(workspace: Path) -> None:
    text = exported(workspace, run_id=fixtures.RETRY_RUN).read_text()
    for words in (
        "## Rounds of this target",
        "## Verdict",
        "Masked, not fixed",
        "```diff",
        "-1 ENODEV",
        "No such device",
        "zero ",
        "<- frozen here",
    ):
        assert words in text, words


def test_the_rule_that_is_active_is_what_a_proposal_is_set_beside(workspace: Path) -> None:
    run = load_run(workspace / "ai_runs" / RUN)
    name = "fix/syscall/ioctl.lua"
    text = run.text_file(f"rules_patch/{name}")
    current = workspace / "rulebook" / run.snapshot.target.target_id / "current"
    (current / "syscall").mkdir(parents=True)
    (current / "syscall" / "ioctl.lua").write_text(text.replace("\n", "\n-- older\n", 1))
    listings = [b for s in report(workspace).sections for b in s.blocks if isinstance(b, Listing)]
    [found] = [listing for listing in listings if listing.caption.startswith(name)]
    assert found.caption.endswith("(changes the active rule)")
    assert [line.text for line in found.lines if line.number == "-"] == ["-- older"]


def test_what_came_of_the_review_is_told(workspace: Path) -> None:
    append_event(workspace / "ai_runs" / RUN, "rejected", {"reason": "too broad"}, actor="analyst")
    tables = [b for s in report(workspace).sections for b in s.blocks if isinstance(b, Table)]
    [events] = [table for table in tables if table.header[0] == "#"]
    assert events.rows[-1].cells[2:] == ("analyst", "rejected", "too broad")


@pytest.mark.parametrize("format", ["markdown", "html", "json"])
def test_the_same_run_gives_the_same_bytes(workspace: Path, format: str) -> None:
    first = exported(workspace, format).read_bytes()  # type: ignore[arg-type]
    assert exported(workspace, format).read_bytes() == first  # type: ignore[arg-type]


@pytest.mark.parametrize("run_id", [fixtures.LOOP_RUN, fixtures.NEWER_RUN])
def test_other_runs_have_a_report_too(tmp_path: Path, run_id: str) -> None:
    make = fixtures.make_loop_run if run_id == fixtures.LOOP_RUN else fixtures.make_newer_run
    make(tmp_path / "ai_runs", run_id)
    assert "## System calls" in exported(tmp_path, run_id=run_id).read_text()
    assert "<h2" in exported(tmp_path, "html", run_id).read_text()


@pytest.mark.parametrize("text", ["plain", "`", "``a`", "a`` ", "```"])
def test_nothing_ends_a_code_span_early(text: str) -> None:
    from markdown_it import MarkdownIt

    [inline] = [token for token in MarkdownIt().parse(f"x {code_span(text)} y") if token.type == "inline"]
    assert [(token.type, token.content.strip()) for token in inline.children or []][1] == (
        "code_inline",
        text.strip(),
    )


def test_nothing_ends_a_fence_early() -> None:
    from markdown_it import MarkdownIt

    lines = ["```", "~~~", "````text", "<b>", "    ```"]
    [token] = MarkdownIt().parse(fenced(lines))
    assert token.type == "fence"
    assert token.content == "\n".join(lines) + "\n"


def test_chinese_is_prose_and_what_the_guest_names_in_it_is_code(workspace: Path) -> None:
    text = exported(workspace, "markdown", language="zh").read_text()
    # Beside code and words there need be no space, and a heading is no code for its punctuation.
    assert "## 原因（1）：" in text  # noqa: RUF001
    assert "\n- 状态: " in text
    assert "`状态" not in text
    page = exported(workspace, "html", language="zh").read_text()
    assert '<html lang="zh">' in page
    assert '<a class="skip" href="#report">跳到报告</a>' in page
    assert Page(page).having("id") == Page(exported(workspace, "html", language="en").read_text()).having(
        "id"
    )
