"""Exporting from the app: the question, the file, another directory, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.ui.app import TriageApp
from triage_tui.ui.screens.question import Question

RUN = fixtures.EXIT_RUN


@pytest.fixture
def app(workspace: Path) -> TriageApp:
    return TriageApp(workspace, actions=LocalActions(Workspace(workspace)))


async def test_the_format_is_asked_for_and_the_path_is_said(app: TriageApp, workspace: Path) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("3", "W")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        assert "Markdown, for a ticket" in shown(app)
        await pilot.press("2")
        await until(pilot, lambda: "Exported to" in said(app), "the path")
        path = workspace / "exports" / f"{RUN}.html"
        assert str(path) in said(app)
        assert path.read_text().startswith("<!DOCTYPE html>")
        # Once more: what is there stays.
        before = path.read_bytes()
        await pilot.press("W", "2")
        await until(pilot, lambda: f"{RUN}-2.html" in said(app), "the second path")
        assert path.read_bytes() == before


async def test_another_directory_can_be_named(app: TriageApp, tmp_path: Path) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("W", "5")
        await until(pilot, lambda: app.screen.query("DirectoryLine"), "the line")
        await pilot.press("enter")
        await until(pilot, lambda: "Type the name" in said(app), "what is wrong")
        await pilot.press(*"mine", "enter")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        assert "another directory" not in shown(app)
        await pilot.press("1")
        await until(pilot, lambda: "Exported to" in said(app), "the path")
        assert (tmp_path / "mine" / f"{RUN}.md").is_file()


async def test_the_marked_runs_are_exported(app: TriageApp, workspace: Path) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("0", "asterisk", "W")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        marked = len(app.main.runs.marked_runs)
        assert marked > 1
        assert f"Export {marked} runs" in shown(app)
        await pilot.press("1")
        await until(pilot, lambda: "runs exported to" in said(app), "the directory")
        assert len(list((workspace / "exports").iterdir())) == marked - 2, "one is broken, one unfinished"
        assert "; 2 not: " in said(app)


async def test_read_only_exports_nothing(workspace: Path) -> None:
    app = TriageApp(workspace)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("W")
        await until(pilot, lambda: "read-only" in said(app), "the refusal")
        assert not (workspace / "exports").exists()
