"""What the app remembers from one time to the next, and that nothing depends on it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, until
from triage_tui.runs.events import append_event
from triage_tui.ui.app import TriageApp
from triage_tui.ui.remembered import MAX_WORKSPACES, Place, Remembered, keep, recall, state_file

RUN = "20251118_140312_00000004"


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    remembered = Remembered(theme="triage-paper", order="cause", zoomed=True)
    remembered.set_place(tmp_path, Place(RUN, "memory"))
    keep(remembered)
    assert recall() == remembered
    assert recall().place(tmp_path) == Place(RUN, "memory")
    assert stat.S_IMODE(state_file().stat().st_mode) == 0o600


def test_only_the_workspaces_used_last_are_kept(tmp_path: Path) -> None:
    remembered = Remembered()
    for number in range(3 * MAX_WORKSPACES):
        remembered.set_place(tmp_path / str(number), Place(RUN, "code"))
    assert len(remembered.places) == MAX_WORKSPACES
    assert remembered.place(tmp_path / "0") == Place()
    assert remembered.place(tmp_path / str(3 * MAX_WORKSPACES - 1)).pane == "code"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"theme": 7}',
        '{"front": {"tile-code": 3}}',
        '{"places": {"x": 3}}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_what_cannot_be_read_is_as_if_it_were_not_there(text: str) -> None:
    state_file().parent.mkdir(parents=True)
    state_file().write_bytes(text.encode("latin-1"))
    assert recall() == Remembered()


def test_a_place_that_is_no_run_is_passed_over(tmp_path: Path) -> None:
    remembered = Remembered()
    remembered.set_place(tmp_path, Place("../../etc", "code"))
    assert remembered.place(tmp_path) == Place()


def test_a_state_that_cannot_be_written_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    keep(Remembered(theme="triage-paper"))
    assert recall() == Remembered()


def app_of(workspace: Path, actions: RecordedActions) -> TriageApp:
    return TriageApp(workspace, actions=actions, remember=True)


async def test_the_app_begins_as_it_was_left(workspace: Path, actions: RecordedActions) -> None:
    append_event(workspace / "ai_runs" / fixtures.EXIT_RUN, "decision", {"action": "end"})
    first = app_of(workspace, actions)
    async with first.run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: first.main.tiles and first.main.wanted)
        first.theme = "triage-paper"
        first.main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: first.main.view and first.main.view.run_id == fixtures.LOOP_RUN)
        await pilot.press("0", "s", "6", "7", "3", "z")
        await pilot.pause()
    second = app_of(workspace, actions)
    async with second.run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: second.main.view and second.main.view.run_id == fixtures.LOOP_RUN)
        await until(pilot, lambda: second.main.active == "syscalls")
        assert second.theme == "triage-paper"
        assert second.main.runs.order == "target"
        assert second.main.single
        fronts = {tile.active.NAME for tile in second.main.tiles}
        assert fronts == {"diagnosis", "syscalls", "registers", "memory"}


async def test_a_guest_that_waits_comes_before_the_last_place(
    workspace: Path, actions: RecordedActions
) -> None:
    remembered = Remembered(
        theme="no such theme", order="no such order", front={"tile-code": "no such pane", "x": "code"}
    )
    remembered.set_place(workspace, Place(fixtures.LOOP_RUN, "code"))
    keep(remembered)
    app = app_of(workspace, actions)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.EXIT_RUN)
        assert app.main.active == "runs"
        assert app.theme == "triage-dark"
        assert app.main.runs.order == "newest"


async def test_a_place_that_is_gone_does_no_harm(workspace: Path, actions: RecordedActions) -> None:
    append_event(workspace / "ai_runs" / fixtures.EXIT_RUN, "decision", {"action": "end"})
    remembered = Remembered()
    remembered.set_place(workspace, Place("20200101_000000_00000001", "no such pane"))
    keep(remembered)
    app = app_of(workspace, actions)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.main.tiles and app.main.wanted)
        assert app.main.active == "runs"
