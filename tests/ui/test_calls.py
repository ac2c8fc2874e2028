"""Calls of the function that the code pane shows: one key shows them, or says why there are none."""

from __future__ import annotations

from tests.ui.conftest import opened, said, shown, until
from triage_tui.diagnosis.knowledge_base.explained_lines import Line
from triage_tui.ui.app import TriageApp
from triage_tui.ui.screens.help import Sheet


async def test_a_key_tells_why_there_are_none_and_a_sheet_shows_them(app: TriageApp) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("5", "C")
        # The programs of these runs are not on this machine.
        await until(pilot, lambda: "program file" in said(app))
        assert app.main.view is not None
        lines = [Line("main\x1b[2J: 8 bytes"), Line("0x10  it \u202e", 2, 2, "ev:syscall/11")]
        app.main.show_calls(app.main.view.run_id, "main\x1b[2J", lines, 1)
        await until(pilot, lambda: "Calls of main\\x1b[2J" in shown(app))
        assert "\x1b" not in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "syscalls")
        await pilot.press("backspace")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
