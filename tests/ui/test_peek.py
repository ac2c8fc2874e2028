"""Peeking at evidence without leaving the pane, and the trail of links that were followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.widgets import Tooltip

from tests.ui import fixtures
from tests.ui.conftest import opened, said, until
from tests.ui.conftest import shown as shown_text
from triage_tui.retry.inspecting.recorded_code import RecordedCode
from triage_tui.ui.app import TriageApp
from triage_tui.ui.call_rows import OutputLine
from triage_tui.ui.loading import load_view
from triage_tui.ui.memory_sections import At
from triage_tui.ui.own_links import own_link
from triage_tui.ui.peek import hover_content, peek, peek_rows, title_of
from triage_tui.ui.roles import Roles
from triage_tui.ui.rows import Row
from triage_tui.ui.run_view import MemoryText, RunView
from triage_tui.ui.screens.help import Sheet


@pytest.fixture
def view(tmp_path: Path) -> RunView:
    return load_view(fixtures.make_exit_run(tmp_path / "ai_runs"), tmp_path)


def marked(rows: list[Row]) -> list[str]:
    return [row.text for row in rows if row.fill == "mark"]


@pytest.mark.parametrize(
    ("link", "title", "expected"),
    [
        ("ev:syscall/11", "Syscall 11", "SIOCGIFINDEX"),
        ("ev:frame/1", "Frame 1", "udhcp_read_interface"),
        ("ev:code/1#L9", "Code of frame 1, line 9", "bgez"),
    ],
)
def test_what_is_cited_stands_marked_among_its_neighbours(
    view: RunView, link: str, title: str, expected: str
) -> None:
    found = peek(view, link)
    rows = peek_rows(view, found, 80)
    assert title_of(found) == title
    (here,) = marked(rows)
    assert expected in here
    assert len(rows) > 2


@pytest.mark.parametrize("width", [30, 60, 120])
@pytest.mark.parametrize(
    "link", ["ev:syscall/11", "ev:mem/ioctl-arg", "ev:code/1#L9", "ev:reg/v0", "ev:fd/4", "ev:log/guest.log"]
)
def test_every_row_is_safe_and_fits(view: RunView, link: str, width: int) -> None:
    view.calls[9].arguments = ["\x1b[2J" * 50]
    rows = peek_rows(view, peek(view, link), width)
    assert rows
    for row in rows:
        assert row.text.isprintable()
        assert cell_len(row.text) <= max(width, 40)


def test_bytes_are_shown_as_bytes(view: RunView) -> None:
    rows = peek_rows(view, peek(view, "ev:mem/ioctl-arg+0:4"), 80)
    assert "65 74 68 30" in rows[0].text


@pytest.mark.parametrize("link", ["ev:syscall/999", "ev:frame/77", "no link", "ev:mem/nothing"])
def test_what_is_not_in_the_run_is_said(view: RunView, link: str) -> None:
    rows = peek_rows(view, peek(view, link), 80)
    assert "not in the run" in rows[0].text


def test_what_changed_since_it_was_cited_is_said(view: RunView) -> None:
    rows = peek_rows(view, peek(view, "ev:syscall/11~000000000000"), 80)
    assert "changed since it was cited" in rows[-1].text


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_key_peeks_and_leaves_everything_as_it_was(app: TriageApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("1")
        pane = app.main.pane("diagnosis")
        row = pane.rows.find(lambda row: any("syscall/11" in link for _, _, link in row.links))
        assert row is not None
        pane.move_to(row)
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
        await until(pilot, lambda: "Syscall 11" in shown_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Sheet))
        assert app.main.active == "diagnosis"
        assert pane.cursor == row
        assert app.main.trail == []


async def test_a_row_without_a_link_says_so(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("4", "end", "K")
        await until(pilot, lambda: "no link to peek at" in said(app))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("ev:reg/v0", "v0"),
        ("ev:fd/4", "socket"),
        ("ev:map/0", "00400000"),
        ("ev:syscall/openat", "openat("),
        ("ev:log/guest.log#L2", "No such device"),
    ],
)
def test_each_kind_of_evidence_can_be_peeked_at(view: RunView, link: str, expected: str) -> None:
    rows = peek_rows(view, peek(view, link), 80)
    assert any(expected in row.text for row in rows)


def test_memory_is_peeked_at_by_address_too(view: RunView) -> None:
    entry = next(one.entry for one in view.memory if one.data)
    rows = peek_rows(view, peek(view, f"ev:mem/0x{entry.addr:x}"), 80)
    assert f"{entry.addr:x}" in rows[0].text
    assert "65 74 68 30" in rows[0].text or rows[0].text.strip()


@pytest.mark.parametrize(
    ("pane", "target", "shown", "link"),
    [
        ("syscalls", 11, None, "ev:syscall/11"),
        ("syscalls", OutputLine(9, 0), None, "ev:syscall/9"),
        ("backtrace", 2, None, "ev:frame/2"),
        ("registers", "v0", True, "ev:reg/v0"),
        ("registers", "v0", False, None),
        ("code", 9, 1, "ev:code/1#L9"),
        ("code", 9, None, None),
        ("memory", At(2, 0x1000, "heap"), None, "ev:mem/2@0x1000+0:16"),
        ("memory", ("ioctl-arg", 16), None, "ev:mem/ioctl-arg+16:16"),
        ("memory", ("ioctl-arg", None), None, "ev:mem/ioctl-arg"),
        ("process", ("fd", 4), None, "ev:fd/4"),
        ("process", ("log", "guest.log", 2), None, "ev:log/guest.log#L2"),
        ("process", None, None, None),
        ("retry", ("run", "x"), None, None),
    ],
)
def test_rows_are_links_to_what_they_stand_for(
    pane: str, target: object, shown: object, link: str | None
) -> None:
    assert own_link(pane, Row((("x", ""),), target), 80, shown) == link


def test_code_at_an_address_comes_from_the_record_where_it_has_it(view: RunView) -> None:
    (here,) = marked(peek_rows(view, peek(view, "ev:code/0x431e44"), 80))
    assert "jalr" in here
    found = peek(view, "ev:code/0x10", RecordedCode(view.run))
    assert peek_rows(view, found, 80)[0].text.strip().startswith("No program file is mapped")


def test_memory_without_bytes_says_why(view: RunView) -> None:
    entry = view.memory[0].entry
    view.memory[0] = MemoryText(entry, problem="no bytes were kept")
    entry.blob = None
    rows = peek_rows(view, peek(view, f"ev:mem/{entry.id}"), 80)
    assert rows[0].text.strip() == "This evidence is not in the run: no bytes were kept."


def test_what_is_shown_at_the_mouse_is_safe(view: RunView) -> None:
    view.calls[9].arguments = ["\x1b[2J[@click=app.quit]x[/]\u202e"]
    content = hover_content(view, peek(view, "ev:syscall/11"), Roles({}))
    lines = content.plain.split("\n")
    assert all(line.isprintable() for line in lines)
    assert "[@click=app.quit]" in content.plain, "it is text, and no action"
    assert len(lines) <= 10


@pytest.mark.parametrize("pane", ["3", "4", "5", "6", "7", "8"])
async def test_rows_without_a_link_are_peeked_at_themselves(app: TriageApp, pane: str) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press(pane)
        view = app.main.pane(app.main.active)
        place = next(
            n for n in range(len(view.rows)) if own_link(view.NAME, view.rows.row(n), 80, view.own_choice)
        )
        view.move_to(place)
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
        assert "not in the run" not in shown_text(app)


async def test_a_link_under_the_mouse_is_shown_after_a_moment_and_goes_when_the_mouse_leaves(
    app: TriageApp,
) -> None:
    async with app.run_test(size=(100, 30), tooltips=True) as pilot:
        await opened(pilot)
        await pilot.press("1")
        pane = app.main.pane("diagnosis")
        row = pane.rows.find(lambda row: any("syscall/11" in link for _, _, link in row.links))
        assert row is not None
        first = next(first for first, _, link in pane.rows.row(row).links if "syscall/11" in link)
        place = (first + 1, row - pane.scroll_offset.y)
        await pilot.hover(pane, offset=place)
        tip = app.main.query_one(Tooltip)
        await until(pilot, lambda: tip.display and "SIOCGIFINDEX" in str(tip.render()))
        assert app.main.active == "diagnosis"
        await pilot.hover(pane, offset=(0, 0))
        await until(pilot, lambda: not tip.display)
        await pilot.click(pane, offset=place)
        await until(pilot, lambda: app.main.active == "syscalls" and app.main.pane("syscalls").marked)


async def test_the_trail_of_followed_links_is_shown(app: TriageApp) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("1")
        app.main.follow("ev:syscall/11")
        await until(pilot, lambda: "diagnosis > syscall 11" in shown_text(app))
        await pilot.press("backspace")
        await until(pilot, lambda: "diagnosis > syscall" not in shown_text(app))
        assert app.main.active == "diagnosis"
