"""Pointers in the registers pane: where values lead, and each address as a link to its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, shown, until
from tests.ui.kept_run import HEAP, make_kept_run
from triage_tui.runs.memory_model import Blob, MemoryObject
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.memory import MemoryPane
from triage_tui.ui.panes.registers import register_rows, thread_pointers
from triage_tui.ui.threads import threads_of

GLOBAL = 0x4AB010
"""What gp holds: a word of busybox's data."""


def keep_pointer(run_dir: Path) -> None:
    """Record at GLOBAL a pointer to the text that stands 8 bytes behind it, of a little-endian machine."""
    snapshot = load_run(run_dir).snapshot
    (run_dir / "memory/word.bin").write_bytes((GLOBAL + 8).to_bytes(4, "little") + bytes(4) + b"eth0\0")
    blob = Blob(addr=GLOBAL, addr_hex=hex(GLOBAL), size=13, file="memory/word.bin")
    snapshot.memory.append(
        MemoryObject(
            id="word", tag="register", source="register", addr=GLOBAL, addr_hex=hex(GLOBAL), blob=blob
        )
    )
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))


def test_a_chain_is_shown_with_a_link_for_each_address(tmp_path: Path) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    keep_pointer(run_dir)
    view = load_view(run_dir, tmp_path)
    rows = {row.target: row for row in register_rows(view, threads_of(view.snapshot)[0], 100)}
    assert 'busybox+0xab010 → 0x4ab018 busybox+0xab018 → "eth0"' in rows["gp"].text
    assert [(rows["gp"].text[a:b], link) for a, b, link in rows["gp"].links] == [
        ("0x004ab010", "ev:mem/0x4ab010+0:4"),
        ("0x4ab018", "ev:mem/0x4ab018+0:4"),
        ('"eth0"', "ev:mem/0x4ab018+0:4"),
    ]
    assert [link for _, _, link in rows["ra"].links] == ["ev:frame/1"], "code leads to its frame"
    assert rows["a0"].links == ()


def test_what_was_not_recorded_is_said(tmp_path: Path) -> None:
    view = load_view(fixtures.make_exit_run(tmp_path / "ai_runs"), tmp_path)
    rows = {row.target: row.text for row in register_rows(view, threads_of(view.snapshot)[0], 100)}
    assert rows["gp"].endswith("busybox+0xab010 · not recorded")


def test_kept_memory_is_followed_too(tmp_path: Path) -> None:
    view = load_view(make_kept_run(tmp_path / "ai_runs", tmp_path / "root"), tmp_path)
    thread = threads_of(view.snapshot)[0]
    thread.registers[0].value = HEAP
    name = thread.registers[0].name
    assert thread_pointers(view, thread).chains[name].end == "unrecorded"  # type: ignore[union-attr]
    chain = thread_pointers(view, thread, regions=True).chains[name]
    assert chain is not None
    assert chain.end != "unrecorded"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 140])
def test_chains_keep_to_the_width(tmp_path: Path, width: int) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    keep_pointer(run_dir)
    view = load_view(run_dir, tmp_path)
    for row in register_rows(view, threads_of(view.snapshot)[0], width):
        assert cell_len(row.text) <= max(width, 24)
        assert all(a < b <= cell_len(row.text) for a, b, _ in row.links)


async def test_a_hop_is_followed_to_its_bytes_and_back(app: TriageApp, workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    keep_pointer(run_dir)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("6")
        pane = app.main.pane("registers")
        pane.move_to(pane.rows.find(lambda row: row.target == "gp") or 0)
        await pilot.press("l", "enter")
        await until(pilot, lambda: app.main.active == "memory" and app.main.pane("memory").marked)
        memory = app.main.pane("memory")
        assert isinstance(memory, MemoryPane)
        row = memory.current
        assert row is not None
        first, end = memory._marks[memory.cursor] or (0, 0)
        assert row.text[first:end] == "65 74 68 30"
        await pilot.press("backspace")
        await until(pilot, lambda: app.main.active == "registers")
        assert pane.current is not None
        assert pane.current.target == "gp"
        await pilot.press("l", "K")
        await until(pilot, lambda: "65 74 68 30" in shown(app))
