"""Pictures of what `test_screens` does not come by, compared with the ones kept here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.sfemu.records import rules_directory, write_run, write_stable
from tests.sfemu.scenes import exit_scene
from tests.ui.conftest import RecordedActions, opened, until
from tests.ui.kept_run import make_kept_run
from tests.waiting import PATIENCE_S
from triage_tui.retry.workspace import Workspace
from triage_tui.sfemu.target import TARGET_FILE
from triage_tui.ui.app import TriageApp
from triage_tui.ui.panes.memory import MemoryPane

Compare = Callable[..., bool]


def _keys(*keys: str) -> Callable[[Pilot[None]], object]:
    async def press(pilot: Pilot[None]) -> None:
        app = await opened(pilot)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        # What is known of the rules is found out in a thread once they are looked at.
        await until(pilot, lambda: app.main.patch.insights or not app.main.patch.display)
        await pilot.pause()

    return press


@pytest.mark.parametrize("number", [6, 8])
def test_end_of_pane(app: TriageApp, snap_compare: Compare, number: int) -> None:
    """Other threads below the frozen one's registers; descriptors and environment of the process."""
    assert snap_compare(app, terminal_size=(80, 36), run_before=_keys(str(number), "end"))


@pytest.mark.parametrize("theme", ["triage-dark", "triage-light"])
def test_main_screen_wide(
    workspace: Path, actions: RecordedActions, snap_compare: Compare, theme: str
) -> None:
    app = TriageApp(workspace, actions=actions, theme=theme)
    assert snap_compare(app, terminal_size=(160, 48), run_before=_keys("1", "j", "j"))


def test_main_screen_least_wide(app: TriageApp, snap_compare: Compare) -> None:
    assert snap_compare(app, terminal_size=(120, 30), run_before=_keys("2"))


def test_marked_evidence(app: TriageApp, snap_compare: Compare) -> None:
    assert snap_compare(app, terminal_size=(160, 48), run_before=_keys("1", *"jjjjjj", "enter"))


def test_too_small(app: TriageApp, snap_compare: Compare) -> None:
    assert snap_compare(app, terminal_size=(40, 10), run_before=_keys())


def test_kept_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snap_compare: Compare) -> None:
    """A byte in the middle of a large region, and the line in which the next address is typed."""
    make_kept_run(tmp_path / "demo" / "ai_runs", tmp_path / "root")
    monkeypatch.chdir(tmp_path)

    async def go(pilot: Pilot[None]) -> None:
        app = await opened(pilot)
        await pilot.press("7", "g", *"[heap]+123456", "enter")
        pane = app.main.query_one(MemoryPane)
        await until(pilot, lambda: pane.marked and pane.current and "…" not in pane.current.text)
        await pilot.press("g")
        await pilot.pause()
        app.screen.query_one(Input).cursor_blink = False
        await pilot.pause()

    assert snap_compare(TriageApp(Path("demo")), terminal_size=(100, 30), run_before=go)


@pytest.mark.parametrize(("size", "key"), [((80, 24), "1"), ((80, 24), "8"), ((160, 48), "1")])
def test_run_of_sfemu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: Compare,
    size: tuple[int, int],
    key: str,
) -> None:
    """One run of SFEmu as it is taken in: its diagnosis, its logs, and all panes beside each other."""
    rules = rules_directory(tmp_path / "rules_examples")
    source = write_run(rules, exit_scene())
    write_stable(rules, source, exit_scene())
    workspace = Workspace.at(rules)
    (workspace.root / TARGET_FILE).write_text("rules_examples-00000001\n")
    workspace.take_in(PATIENCE_S)
    monkeypatch.chdir(tmp_path)

    async def go(pilot: Pilot[None]) -> None:
        app = await opened(pilot, source.name)
        await pilot.press(key)
        await pilot.pause()
        await until(pilot, lambda: app.main.patch.insights or not app.main.patch.display)
        await pilot.pause()

    app = TriageApp(workspace.root.relative_to(tmp_path))
    assert snap_compare(app, terminal_size=size, run_before=go)
