"""A retry of one run: its progress in the retry pane, and the end of it."""

from __future__ import annotations

import threading
from itertools import takewhile
from pathlib import Path

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.errors import TriageError
from triage_tui.runs.events import append_event, this_process
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.retry import STARTING, STOPPING, retry_rows
from triage_tui.ui.run_view import RunView

SIZE = (100, 30)
RUN = fixtures.EXIT_RUN


def read(workspace: Path) -> RunView:
    return load_view(workspace / "ai_runs" / RUN, workspace)


def progress(workspace: Path, asked: str = "") -> list[str]:
    """Return the steps as they are shown."""
    rows = ["".join(text for text, _ in row.parts) for row in retry_rows(read(workspace), 80, asked)]
    parts = iter(rows)
    if not any(row.startswith(" Progress") for row in parts):
        return []
    return [row[2:].split("  ")[0] for row in takewhile(lambda row: row.startswith("  "), parts)]


def test_the_steps_of_a_retry(workspace: Path) -> None:
    run = workspace / "ai_runs" / RUN
    assert progress(workspace) == []
    assert progress(workspace, STARTING)[2] == "… the retry is being started"
    append_event(run, "retry_started", this_process())
    assert progress(workspace, STARTING)[2:] == ["✓ retry started", "… the program runs again"]
    assert progress(workspace, STOPPING)[3] == "… the retry is being stopped"
    append_event(run, "retry_finished", {"verdict": "sideways"})
    assert progress(workspace)[2:4] == ["✓ retry started", "✓ judged"]
    # What the first one came to is no step of the next.
    assert progress(workspace, STARTING)[2:4] == ["… the retry is being started", "· judged"]
    append_event(run, "retry_started", this_process())
    assert progress(workspace)[3] == "… the program runs again"
    append_event(run, "needs_person", {"why": "the retry came to nothing: a person stopped it"})
    assert progress(workspace)[3:] == ["· judged", "✗ the retry came to nothing: a person stopped it"]


class Running(RecordedActions):
    """A retry that runs until it is stopped."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self._run_dir = run_dir
        self.stopped = threading.Event()

    def decide(self, run_id: str, action: str) -> str:
        append_event(self._run_dir, "decision", {"action": action})
        append_event(self._run_dir, "retry_started", this_process())
        return self._note("decide", run_id, action)

    def await_retry(self, run_id: str, unwanted: threading.Event) -> str:
        assert self.stopped.wait(60)
        return ""

    def stop_retry(self, run_id: str) -> str:
        append_event(self._run_dir, "needs_person", {"why": "a person stopped it"})
        self.stopped.set()
        return self._note("stop_retry", run_id)


async def test_escape_asks_and_stops_a_retry(workspace: Path) -> None:
    actions = Running(workspace / "ai_runs" / RUN)
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await until(pilot, lambda: "runs · esc stops it" in shown(app), "the retry")
        assert "E stop retry" in shown(app).split("\n")[-1]
        assert "R retry" not in shown(app).split("\n")[-1]
        await pilot.press("R")
        await until(pilot, lambda: "This run is being retried: E stops that." in said(app))
        # A question that is left decides nothing, nor does its first answer.
        for answer in ("escape", "1"):
            await pilot.press("escape")
            await until(pilot, lambda: "Stop the retry of" in shown(app), "the question")
            await pilot.press(answer)
            await until(pilot, lambda: app.screen is app.main)
        assert [call[0] for call in actions.calls] == ["decide"]
        await pilot.press("1", "E")
        await until(pilot, lambda: "Stop the retry of" in shown(app), "the question")
        await pilot.press("2")
        await until(pilot, lambda: "✗ a person stopped it" in shown(app), "the end of it")
        await until(pilot, lambda: not app.main.asked_retries)
        assert "esc stops" not in shown(app)
        # And now esc leaves the pane.
        await pilot.press("escape")
        await until(pilot, lambda: app.main.active == "runs")
    assert [call[0] for call in actions.calls] == ["decide", "stop_retry"]


async def test_why_a_retry_never_began_is_said(workspace: Path) -> None:
    class Broken(RecordedActions):
        def await_retry(self, run_id: str, unwanted: threading.Event) -> str:
            raise TriageError("the retry ended before it began")

    app = TriageApp(workspace, actions=Broken())
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await until(pilot, lambda: "The retry ended before it began." in said(app))
        assert app.main.asked_retries == {}


async def test_a_retry_that_was_stopped_before_it_began_is_no_trouble(workspace: Path) -> None:
    class Early(Running):
        def await_retry(self, run_id: str, unwanted: threading.Event) -> str:
            self._note("await_retry", run_id)
            super().await_retry(run_id, unwanted)
            raise TriageError("the retry ended before it began")

    actions = Early(workspace / "ai_runs" / fixtures.RETRY_RUN)
    app = TriageApp(workspace, actions=actions, open_run=fixtures.RETRY_RUN)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, fixtures.RETRY_RUN)
        await pilot.press("R")
        await until(pilot, lambda: len(actions.calls) == 2)
        await pilot.press("E")
        await until(pilot, lambda: "Stop the retry of" in shown(app), "the question")
        await pilot.press("2")
        await until(pilot, lambda: "Stop_retry was recorded." in said(app))
        await until(pilot, lambda: not app.main.asked_retries)
        assert "ended before it began" not in said(app)
    assert [call[0] for call in actions.calls] == ["retry", "await_retry", "stop_retry"]


async def test_leaving_waits_for_no_retry_and_stops_none(workspace: Path) -> None:
    left = threading.Event()

    class Lasting(RecordedActions):
        def await_retry(self, run_id: str, unwanted: threading.Event) -> str:
            assert unwanted.wait(60)
            left.set()
            return ""

    actions = Lasting()
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await until(pilot, lambda: actions.calls)
    assert left.wait(60)
    assert [call[0] for call in actions.calls] == ["decide"]


async def test_a_defect_of_an_action_is_reported_with_a_file(workspace: Path, contained: list[str]) -> None:
    class Defect(RecordedActions):
        def freeze(self) -> str:
            raise ZeroDivisionError

    app = TriageApp(workspace, actions=Defect())
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("F")
        await until(pilot, lambda: "The action failed (ZeroDivisionError)." in said(app))
        assert "report it with /tmp/report.txt" in said(app)
    assert len(contained) == 1
    contained.clear()


async def test_a_run_with_a_checkpoint_is_asked_where_to_begin(workspace: Path) -> None:
    place = workspace / "ai_runs" / fixtures.RETRY_RUN / "checkpoint"
    place.mkdir()
    (place / "triage.json").write_text("{}")
    actions = RecordedActions()
    app = TriageApp(workspace, actions=actions, open_run=fixtures.RETRY_RUN)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, fixtures.RETRY_RUN)
        await pilot.press("R")
        await until(pilot, lambda: "from where?" in shown(app), "the question")
        await pilot.press("escape")
        await pilot.press("R")
        await until(pilot, lambda: "from where?" in shown(app), "the question")
        await pilot.press("2")
        await until(pilot, lambda: len(actions.calls) == 1)
    assert actions.calls == [("retry", fixtures.RETRY_RUN, "checkpoint")]
