"""The code pane: other sources, decompiling the selected frame, SFAnalysis results."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.code_runs import add_source, place_frame, results
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.start import START_FILE
from triage_tui.retry.workspace import Workspace
from triage_tui.ui.app import TriageApp
from triage_tui.ui.panes.code import CodePane

SIZES = [(80, 24), (160, 48)]


@pytest.mark.parametrize("size", SIZES)
async def test_v_goes_round_the_sources_of_a_function(
    app: TriageApp, workspace: Path, size: tuple[int, int]
) -> None:
    add_source(workspace)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("5")
        await pilot.pause()
        assert "strncpy_IFNAMSIZ" in shown(app)
        assert "v other source" in shown(app)
        assert app.main.query_one(CodePane).title_note.endswith("1 of 2 · decompiled by angr 9.2")
        await pilot.press("v")
        await pilot.pause()
        assert "bgez" in shown(app)
        assert "strncpy_IFNAMSIZ" not in shown(app)
        assert app.main.query_one(CodePane).title_note.endswith("2 of 2 · disassembly")
        await pilot.press("v")
        await pilot.pause()
        assert "strncpy_IFNAMSIZ" in shown(app)


async def test_v_changes_nothing_where_there_is_one_source(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5", "j")
        pane = app.main.query_one(CodePane)
        cursor = pane.cursor
        await pilot.press("v")
        await pilot.pause()
        assert "bgez" in shown(app)
        assert pane.cursor == cursor
        assert "other source" not in shown(app)


async def test_evidence_leads_to_the_source_that_it_cites(app: TriageApp, workspace: Path) -> None:
    link = add_source(workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5")
        assert "strncpy_IFNAMSIZ" in shown(app)
        app.main.follow(link)
        pane = app.main.query_one(CodePane)
        await until(pilot, lambda: pane.marked)
        assert "bgez" in pane.rows.row(pane.marked[0]).text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pane", ["4", "5"])
async def test_d_decompiles_the_selected_frame(
    app: TriageApp, actions: RecordedActions, size: tuple[int, int], pane: str
) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("4", "j", "j", pane, "d")
        await until(pilot, lambda: ("decompile", fixtures.EXIT_RUN, "2") in actions.calls)
        await until(pilot, lambda: "Decompile was recorded." in said(app))
        assert app.main.active == "code"
        assert app.main.decompilation is None


async def test_what_was_decompiled_is_shown_from_its_beginning(
    app: TriageApp, workspace: Path, actions: RecordedActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decompile(run_id: str, frame: int, cancel: threading.Event) -> str:
        add_source(workspace)
        return f"frame {frame} is decompiled"

    monkeypatch.setattr(actions, "decompile", decompile)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5", "d")
        pane = app.main.query_one(CodePane)
        await until(pilot, lambda: "strncpy_IFNAMSIZ" in shown(app) and pane.cursor == 0)
        await until(pilot, lambda: "1 of 2 · decompiled" in shown(app))


@pytest.mark.parametrize("stop", ["d", "escape"])
async def test_decompiling_shows_that_it_goes_on_and_can_be_stopped(
    app: TriageApp, actions: RecordedActions, stop: str
) -> None:
    actions.hold = True
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5")
        pane = app.main.query_one(CodePane)
        line = pane.current.target if pane.current else None
        await pilot.press("d")
        await until(pilot, lambda: "Decompiling frame 1: 1 s of at most 60. esc stops it." in shown(app))
        assert pane.current is not None
        assert pane.current.target == line, "the cursor stays on its line"
        assert "bgez" in shown(app), "the code that there is stays"
        assert "esc stops" in pane.title_note
        await pilot.press(stop)
        await until(pilot, lambda: app.main.decompilation is None)
        assert pane.title_note.endswith("not decompiled")
        await until(pilot, lambda: "The decompiler was stopped." in shown(app))
        assert app.main.active == "code"
        assert pane.current.target == line
        assert len([call for call in actions.calls if call[0] == "decompile"]) == 1
        await pilot.press("4", "j", "5")
        await pilot.pause()
        assert "The decompiler was stopped." not in shown(app).split("▶ The guest")[0]


async def test_leaving_the_app_does_not_wait_for_the_decompiler(
    app: TriageApp, actions: RecordedActions
) -> None:
    actions.hold = True
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5", "d")
        await until(pilot, lambda: actions.calls)
        job = app.main.decompilation
        assert job is not None
        await pilot.press("q")
    assert job.cancel.is_set()


async def test_the_reason_why_there_is_no_pseudocode_stays_above_the_code(
    app: TriageApp, actions: RecordedActions
) -> None:
    actions.refuse = "no decompiler is installed: pip install 'triage-tui[decompiler]' adds angr"
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5", "d")
        await until(pilot, lambda: "No decompiler is installed" in shown(app))
        pane = app.main.query_one(CodePane)
        assert "No decompiler is installed: pip install" in pane.rows.row(0).text
        app.main.follow("ev:code/1#L9")
        await until(pilot, lambda: pane.marked)
        assert "bgez" in pane.rows.row(pane.marked[0]).text


async def test_a_frame_without_code_says_so_too(app: TriageApp, actions: RecordedActions) -> None:
    actions.refuse = "frame 3 lies in no program file"
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("4", "j", "j", "j", "d")
        await until(pilot, lambda: "Frame 3 lies in no program file." in shown(app))
        assert "There is no code for this frame." in shown(app)


async def test_a_frame_of_another_thread_is_not_decompiled_as_one_of_the_frozen_thread(
    app: TriageApp, actions: RecordedActions
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("4", "end", "d")
        await until(pilot, lambda: "of the frozen thread only" in said(app))
        assert actions.calls == []


async def test_read_only_decompiles_nothing(workspace: Path, actions: RecordedActions) -> None:
    app = TriageApp(workspace, actions=actions, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5")
        await pilot.pause()
        assert "decompile" not in shown(app)
        await pilot.press("d")
        await until(pilot, lambda: "read-only" in said(app))
        assert actions.calls == []


async def test_the_real_action_says_why_it_cannot(workspace: Path) -> None:
    """Through the actions that the app really has: the program of this run is on no machine."""
    place_frame(workspace)
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    start = {"program": "/usr/bin/udhcpc", "argv": ["udhcpc"], "rootfs": str(workspace.absolute())}
    (run_dir / START_FILE).write_text(json.dumps(start))
    app = TriageApp(workspace, actions=LocalActions(Workspace.at(str(workspace.absolute()))))
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("5", "d")
        await until(pilot, lambda: said(app))
        text = said(app)
        assert "no decompiler is installed" in text.lower() or "cannot be read any more" in text


async def test_results_are_shown_before_the_recorded_code(workspace: Path, tmp_path: Path) -> None:
    place_frame(workspace)
    app = TriageApp(workspace, sfanalysis=results(tmp_path / "results"))
    before = (workspace / "ai_runs" / fixtures.EXIT_RUN / "snapshot.json").read_bytes()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5")
        await until(pilot, lambda: "analysed_function" in shown(app))
        assert "1 of 2 · pseudocode from SFAnalysis" in app.main.query_one(CodePane).title_note
        await pilot.press("v")
        await pilot.pause()
        assert "bgez" in shown(app)
    assert (workspace / "ai_runs" / fixtures.EXIT_RUN / "snapshot.json").read_bytes() == before


async def test_results_that_cannot_be_used_are_named(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    app = TriageApp(workspace, sfanalysis=tmp_path / "empty")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "holds no usable SFAnalysis result" in said(app))
        await pilot.press("5")
        await pilot.pause()
        assert "bgez" in shown(app)
