"""The process pane: descriptors lead to the call that made them, mappings to what was recorded of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, until
from tests.ui.kept_run import HEAP, make_kept_run
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.process import process_pieces, process_rows
from triage_tui.ui.run_view import RunView
from triage_tui.ui.searching import HIT, SearchedRows


@pytest.fixture
def view(tmp_path: Path) -> RunView:
    return load_view(fixtures.make_exit_run(tmp_path / "ai_runs"), tmp_path)


def test_a_descriptor_leads_to_its_call(view: RunView) -> None:
    row = next(row for row in process_rows(view, 80) if row.target == ("fd", 3) and row.links)
    first, end, link = row.links[0]
    assert (row.text[first:end], link) == ("openat, syscall 8", "ev:syscall/8")
    assert row.text.strip() == "O_RDWR O_CLOEXEC, from openat, syscall 8"
    view.snapshot.fds[3].origin_seq = 4711
    rows = [row for row in process_rows(view, 80) if row.target == ("fd", 3)]
    assert not any(row.links for row in rows), "a call that the record has not leads nowhere"


def test_a_mapping_leads_to_what_was_recorded_of_it(view: RunView) -> None:
    rows = {row.target: row for row in process_rows(view, 80)}
    stack = next(n for n, one in enumerate(view.snapshot.maps) if one.path == "[stack]")
    row = rows["map", stack]
    assert "object" in row.text
    address = min(item.entry.addr for item in view.memory if item.entry.addr >= 0x7F8DF000 and item.data)
    assert [link for _, _, link in row.links] == [f"ev:mem/0x{address:x}+0:1"]
    assert rows["map", 0].links == ()


def test_a_kept_mapping_leads_to_its_begin(tmp_path: Path) -> None:
    view = load_view(make_kept_run(tmp_path / "ai_runs", tmp_path / "root"), tmp_path)
    heap = next(n for n, one in enumerate(view.snapshot.maps) if one.start == HEAP)
    row = next(row for row in process_rows(view, 80) if row.target == ("map", heap))
    assert row.text.endswith("kept")
    assert row.links[0][2] == f"ev:mem/0x{HEAP:x}+0:1"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_search_finds_what_the_width_leaves_no_room_for(view: RunView, width: int) -> None:
    entry = view.snapshot.maps[0]
    entry.path = "/usr/lib/arm-linux-gnueabihf/deep/libcrypto.so.3"
    view.snapshot.fds[3].target = "/var/lib/some/where/below/all/of/that/in/libcrypto.so.3.lock"
    rows = SearchedRows(process_pieces(view), "libcrypto.so.3")
    rows.layout(width)
    assert [rows.inner.row(index).target for index in rows.hits] == [("fd", 3), ("map", 0)]
    for index in rows.hits:
        coloured = "".join(text for text, role in rows.row(index).parts if role == HIT)
        assert coloured in ("libcrypto.so.3", "…")


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_links_lie_within_their_rows(view: RunView, width: int) -> None:
    for row in process_rows(view, width):
        assert all(0 <= first < end <= cell_len(row.text) for first, end, _ in row.links)


async def test_both_are_followed(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("8")
        pane = app.main.pane("process")
        pane.move_to(pane.rows.find(lambda row: "openat, syscall 8" in row.text) or 0)
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "syscalls")
        await pilot.press("backspace")
        await until(pilot, lambda: app.main.active == "process")
        pane.move_to(pane.rows.find(lambda row: "[stack]" in row.text and bool(row.links)) or 0)
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "memory" and app.main.pane("memory").marked)
