"""Exporting from the app: the question, the file, another directory, stopping, and what is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.errors import Stopped, TriageError
from triage_tui.export.exporting import Wanted
from triage_tui.ui.app import TriageApp
from triage_tui.ui.exporting import export_runs, free_place
from triage_tui.ui.screens.question import Question

RUN = fixtures.EXIT_RUN


def dirs(workspace: Path, *run_ids: str) -> list[Path]:
    return [workspace / "ai_runs" / run_id for run_id in run_ids]


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


def test_several_runs_are_exported_and_a_broken_one_is_told(workspace: Path) -> None:
    told: list[str] = []
    run_dirs = dirs(workspace, RUN, fixtures.BROKEN_RUN, fixtures.LOOP_RUN)
    words = export_runs(workspace, run_dirs, Wanted("json"), None, threading.Event(), told.append)
    assert words.startswith(f"2 runs exported to {workspace / 'exports'}; 1 not: ")
    assert any(line.startswith("run 3 of 3, part ") for line in told)
    assert sorted(path.name for path in (workspace / "exports").iterdir()) == [
        f"{fixtures.LOOP_RUN}.zip",
        f"{RUN}.zip",
    ]


def test_stopped_in_the_middle_no_part_of_a_file_is_left(workspace: Path) -> None:
    cancel = threading.Event()

    def tell(far: str) -> None:
        if far.startswith("run 2"):
            cancel.set()

    with pytest.raises(Stopped, match="after 1 of 2"):
        export_runs(workspace, dirs(workspace, RUN, fixtures.LOOP_RUN), Wanted("json"), None, cancel, tell)
    assert [path.name for path in (workspace / "exports").iterdir()] == [f"{RUN}.zip"]


def test_a_planted_link_for_the_directory_is_refused(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (workspace / "exports").symlink_to(tmp_path / "away")
    with pytest.raises(TriageError, match="link"):
        export_runs(workspace, dirs(workspace, RUN), Wanted(), None, threading.Event(), lambda far: None)
    assert list((tmp_path / "away").iterdir()) == []


def test_a_free_name_is_one_that_no_link_has_either(tmp_path: Path) -> None:
    (tmp_path / f"{RUN}.md").symlink_to("nowhere")
    assert free_place(tmp_path, RUN, Wanted()).name == f"{RUN}-2.md"
