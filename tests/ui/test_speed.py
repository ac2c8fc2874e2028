"""What makes the app quick, by structure: what a key makes, where a run is read, what a start imports."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from tests.ui import fixtures
from tests.ui.conftest import opened, until
from triage_tui.runs.evidence import Resolved, resolve
from triage_tui.runs.reader import Run, load_run
from triage_tui.ui.app import TriageApp
from triage_tui.ui.rows import MadeRows, Row
from triage_tui.ui.widgets.line_view import LineView

COUNT = 100_000
HEIGHT = 20


class Made:
    """Rows that remember which of them were made."""

    def __init__(self) -> None:
        self.indices: list[int] = []

    def row(self, index: int, width: int) -> Row:
        self.indices.append(index)
        return Row(((f"row {index}", ""),), index)

    def taken(self) -> set[int]:
        found, self.indices = set(self.indices), []
        return found


class ListApp(App[None]):
    """Nothing but one list."""

    CSS = "LineView { overflow-x: hidden; }"

    def __init__(self) -> None:
        super().__init__()
        self.made = Made()
        self.list = LineView(id="list")

    def compose(self) -> ComposeResult:
        yield self.list

    def on_ready(self) -> None:
        self.list.set_rows(MadeRows(COUNT, self.made.row), cursor=0)
        self.list.focus()


async def test_a_key_in_a_hundred_thousand_rows_makes_the_rows_that_change() -> None:
    app = ListApp()
    async with app.run_test(size=(40, HEIGHT)) as pilot:
        await pilot.pause()
        assert app.made.taken() <= set(range(HEIGHT))
        await pilot.press("down")
        assert app.list.cursor == 1
        assert app.made.taken() == {0, 1}
        app.list.move_to(HEIGHT - 1)
        await pilot.pause()
        app.made.taken()
        await pilot.press("down")
        assert app.list.cursor == HEIGHT
        # The rows that stay are as they were; one came into view, and the cursor left another.
        assert app.made.taken() <= {HEIGHT - 1, HEIGHT}
        await pilot.press("end")
        assert app.list.cursor == COUNT - 1
        assert len(app.made.taken()) <= HEIGHT + 1


async def test_rows_are_made_anew_when_something_else_is_to_be_seen() -> None:
    app = ListApp()
    async with app.run_test(size=(40, HEIGHT)) as pilot:
        await pilot.pause()
        app.made.taken()
        app.list.refresh()
        await pilot.pause()
        assert app.made.taken() == set(range(HEIGHT))
        app.list.mark(3)
        await pilot.pause()
        await pilot.press("down")
        assert app.list.marked == []
        assert {3, 4} <= app.made.taken()


async def test_a_run_is_read_beside_the_event_loop(app: TriageApp, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = threading.get_ident()
    threads: list[int] = []

    def noted(run_dir: Path) -> object:
        threads.append(threading.get_ident())
        return load_run(run_dir)

    monkeypatch.setattr("triage_tui.ui.loading.load_run", noted)
    async with app.run_test() as pilot:
        await opened(pilot)
        assert app.main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.LOOP_RUN)
    assert threads
    assert loop not in threads


async def test_evidence_is_looked_up_beside_the_event_loop(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = threading.get_ident()
    threads: list[int] = []

    def noted(run: Run, link: str) -> Resolved:
        threads.append(threading.get_ident())
        return resolve(run, link)

    monkeypatch.setattr("triage_tui.ui.run_view.resolve", noted)
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
    assert threads
    assert loop not in threads


HEAVY = (
    "capstone", "elftools", "httpx", "litellm", "lupa", "pygments", "pyte", "re2", "watchdog", "yaml",
    "triage_tui.binary", "triage_tui.diagnosis", "triage_tui.export", "triage_tui.guest",
    "triage_tui.proposals", "triage_tui.retry.actions", "triage_tui.rulebook", "triage_tui.rulehost",
    "triage_tui.setup", "triage_tui.ui.loading", "triage_tui.ui.panes.code",
    "triage_tui.ui.panes.patch", "triage_tui.ui.screens.help", "triage_tui.ui.screens.palette",
    "triage_tui.ui.screens.tiles",
)  # fmt: skip
"""What takes long to import, or is for panes and screens that come after the first frame."""

_FIRST_FRAME = """
import sys
from triage_tui.cli.ui import build_app
from triage_tui.retry.workspace import Workspace

app = build_app(Workspace.at(sys.argv[1]))
loaded = []

def ready(self):
    loaded.extend(sys.modules)
    self.exit()

type(app).on_ready = ready
app.run(headless=True)
print(*loaded)
"""


def test_the_first_frame_needs_no_heavy_module(tmp_path: Path) -> None:
    (tmp_path / "ai_runs").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_FRAME, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stdout.split())
    assert "triage_tui.ui.screens.main" in loaded
    assert not sorted(name for name in HEAVY if name in loaded)
