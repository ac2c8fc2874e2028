"""The app and the commands on the same run at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.retry.decisions import FILES, workspace_at
from tests.ui.conftest import opened, said, shown, until
from triage_tui.cli.main import main
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.ui.app import TriageApp


async def test_what_a_command_decides_is_shown_and_the_app_is_told(tmp_path: Path) -> None:
    run_id = workspace_at(tmp_path)
    workspace = Workspace.at(tmp_path)
    app = TriageApp(tmp_path, actions=LocalActions(workspace, "ann"))

    def state() -> str:
        return app.main.view.run.state if app.main.view is not None else ""

    async with app.run_test(size=(120, 30)) as pilot:
        await opened(pilot, run_id)
        # The question stands in the app while a command approves.
        await pilot.press("x")
        await until(pilot, lambda: "Why reject the proposals" in shown(app))
        assert await asyncio.to_thread(main, ["approve", "-C", str(tmp_path), run_id, FILES[0]]) == 0
        await pilot.press("j", "enter")
        await until(pilot, lambda: "is applied by now" in said(app), "the sentence")
        await until(pilot, lambda: state() == "applied", "the approval of the command")
        assert Workspace.at(tmp_path).load(run_id).state == "applied"
        assert await asyncio.to_thread(main, ["rollback", "-C", str(tmp_path), run_id]) == 0
        await until(pilot, lambda: state() == "rolled_back", "the command's rollback")
        # What the app decides a command finds, and is told.
        await pilot.press("x")
        await until(pilot, lambda: "Why reject the proposals" in shown(app))
        await pilot.press("j", "enter")
        await until(pilot, lambda: state() == "rejected", "the rejection")
        assert await asyncio.to_thread(main, ["reject", "-C", str(tmp_path), run_id]) == 3
