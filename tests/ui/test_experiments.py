"""One key tries what would make the cause surer, and shows what was learnt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.runs.diagnosis_model import Experiment
from triage_tui.runs.events import append_event
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json
from triage_tui.ui.app import TriageApp
from triage_tui.ui.panes.diagnosis import diagnosis_rows

RUN = fixtures.EXIT_RUN


@pytest.fixture
def run_dir(workspace: Path) -> Path:
    """A run with two experiments, one of them named by somebody hostile."""
    directory = workspace / "ai_runs" / RUN
    run = load_run(directory)
    assert run.diagnosis is not None
    run.diagnosis.experiments = [
        Experiment(
            id="probe-1", kind="probe", says="run it again and ask its service", gain=0.8, cost="one run"
        ),
        Experiment(
            id="code-2", kind="c\x1b[2J", says="read \x1b]52;c;eA==\x07[@click=app.quit]this[/]", gain=7.0
        ),
    ]
    write_atomic(directory / "diagnosis.json", encode_json(run.diagnosis))
    return directory


def _text(app: TriageApp) -> str:
    """Return all that the diagnosis pane would show."""
    assert app.main.view is not None
    rows = diagnosis_rows(app.main.view, 120)
    return "\n".join(row.text for row in rows)


async def test_the_best_or_the_one_under_the_cursor_is_tried(
    app: TriageApp, actions: RecordedActions, run_dir: Path
) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("1")
        text = _text(app)
        assert "What would make it sure" in text
        assert "0.80 bits" in text
        # Text of the record is shown, and never obeyed.
        assert "[@click=app.quit]this[/]" in text
        assert "\x1b" not in text
        assert "7.00 bits" not in text
        await pilot.press("X")
        await until(pilot, lambda: ("experiment", RUN, "probe-1") in actions.calls)
        await until(pilot, lambda: "Experiment was recorded" in said(app))
        pane = app.main.pane("diagnosis")
        place = pane.rows.place(app.main.view.experiments[1]) if app.main.view else None
        assert place is not None
        pane.move_to(place)
        await pilot.press("X")
        await until(pilot, lambda: ("experiment", RUN, "code-2") in actions.calls)


async def test_a_run_is_diagnosed_again(app: TriageApp, actions: RecordedActions, run_dir: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("D")
        await until(pilot, lambda: ("diagnose", RUN) in actions.calls)
        await until(pilot, lambda: "Diagnose was recorded" in said(app))


async def test_it_can_be_stopped(app: TriageApp, actions: RecordedActions, run_dir: Path) -> None:
    actions.hold = True
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("X")
        await until(pilot, lambda: "run it again" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: "nothing of it is kept" in said(app))
        assert app.screen is app.main


async def test_what_was_learnt_is_shown_and_not_offered_again(app: TriageApp, run_dir: Path) -> None:
    learnt = "the probe was answered: network_wait 0.97, was unknown"
    payload = {"id": "probe-1", "kind": "probe", "told": True, "learnt": learnt, "run": RUN}
    append_event(run_dir, "experiment_finished", payload)
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        assert learnt in " ".join(_text(app).split())
        assert app.main.view is not None
        assert [one.id for one in app.main.view.experiments] == ["code-2"]
