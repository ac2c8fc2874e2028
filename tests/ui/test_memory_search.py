"""`/` in the memory pane: bytes and text in objects and kept regions, from hit to hit, and the end of it."""

from __future__ import annotations

from pathlib import Path

from tests.ui.conftest import RecordedActions, opened, until
from tests.ui.kept_run import heap_byte, make_kept_run
from triage_tui.ui.app import TriageApp
from triage_tui.ui.panes.memory import MemoryPane


async def test_text_and_bytes_are_found_and_stepped_through(tmp_path: Path, actions: RecordedActions) -> None:
    make_kept_run(tmp_path / "demo" / "ai_runs", tmp_path / "root")
    app = TriageApp(tmp_path / "demo", actions=actions)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("7")
        pane = app.main.pane("memory")
        assert isinstance(pane, MemoryPane)
        await pilot.press("slash", *"eth0")
        await until(pilot, lambda: "1 of " in pane.search_note and "%" not in pane.search_note)
        assert pane.marked
        row, span = pane.rows.row(pane.marked[0]), pane._marks[pane.marked[0]]
        assert span is not None
        assert row.text[span[0] : span[1]] == "65 74 68 30"
        await pilot.press("escape")
        assert pane.search_note == ""

        wanted = bytes(heap_byte(0x200000 + number) for number in range(8)).hex(" ")
        await pilot.press("slash", *wanted, "enter")
        await until(pilot, lambda: "1 of " in pane.search_note and "%" not in pane.search_note)
        assert app.focused is pane
        first = pane.cursor
        await pilot.press("n")
        await until(pilot, lambda: "2 of " in pane.search_note)
        assert pane.cursor > first
        await pilot.press("N")
        await until(pilot, lambda: pane.cursor == first)

        await pilot.press("slash", *"no such text", "enter")
        await until(pilot, lambda: "not found" in pane.search_note)
        await pilot.press("escape")
        assert app.main.active == "memory"
        assert pane.search_text == ""
