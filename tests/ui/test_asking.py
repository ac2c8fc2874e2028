"""Asking the model from the app: it works in the background, and what it said stands in the diagnosis."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from tests.waiting import PATIENCE_S
from triage_tui.analyst.merging import merge
from triage_tui.diagnosis.report import write_report
from triage_tui.errors import Stopped
from triage_tui.runs.analysis_model import Progress
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.reader import load_run
from triage_tui.ui.app import TriageApp

Tell = Callable[[str], None]
Watch = Callable[[Progress], None]

PROGRESS = Progress(
    phase="hypothesize",
    characters=1234,
    steps=33,
    steps_left=7,
    tokens=118_000,
    tokens_left=2000,
    seconds=41.2,
    seconds_left=558.8,
)


async def test_what_a_model_said_is_shown_as_its_own(
    app: TriageApp, actions: RecordedActions, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(run_id: str, cancel: threading.Event, tell: Tell, watch: Watch) -> str:
        tell("classify: answered")
        run = load_run(workspace / "ai_runs" / run_id)
        assert run.diagnosis is not None
        same, other = (
            Hypothesis(
                cause=cause,
                proximate=cause,
                confidence=0.6,
                title=f"by a model: {cause}",
                explanation="because I say so \x1b[31m(unsupported).",
                source="model",
                model="test-model",
            )
            for cause in (run.diagnosis.hypotheses[0].cause, "time_rtc")
        )
        write_report(run, merge(run.diagnosis, [same, other], [], "analyst/001"))
        return "2 hypotheses and 0 proposals by test-model"

    monkeypatch.setattr(actions, "ask_model", ask)
    async with app.run_test(size=(160, 60)) as pilot:
        await opened(pilot)
        before = app.main.view.diagnosis.hypotheses[0]  # type: ignore[union-attr]
        await pilot.press("M")
        await until(pilot, lambda: "2 hypotheses and 0 proposals by test-model" in said(app))
        await until(pilot, lambda: "second opinion of a language model (test-model, 0.60)" in shown(app))
        assert "because I say so \\x1b[31m(unsupported)." in shown(app)
        await pilot.press("1", "G")
        await until(pilot, lambda: "written by a language model (test-model)" in shown(app))
        after = app.main.view.diagnosis.hypotheses[0]  # type: ignore[union-attr]
        assert msgspec.structs.replace(after, opinion=None) == before


async def test_it_works_in_the_background_and_can_be_stopped(
    app: TriageApp, actions: RecordedActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(run_id: str, cancel: threading.Event, tell: Tell, watch: Watch) -> str:
        asked.append(run_id)
        tell("collect: get_log: \x1b[31mok")
        watch(PROGRESS)
        assert cancel.wait(PATIENCE_S)
        raise Stopped("the analysis was stopped")

    monkeypatch.setattr(actions, "ask_model", ask)
    async with app.run_test(size=(110, 30)) as pilot:
        await opened(pilot, fixtures.EXIT_RUN)
        await pilot.press("M")
        await until(pilot, lambda: "… model: hypothesize, 1,234 characters" in shown(app))
        # Reading and deciding go on.
        await pilot.press("3", "j", "2", "x", "1")
        await until(pilot, lambda: ("reject", fixtures.EXIT_RUN, "wrong cause") in actions.calls)
        # Once more shows the details; leaving them stops nothing, and a run is asked about once at a time.
        await pilot.press("M")
        await until(pilot, lambda: "7 steps, 2,000 tokens, 559 s" in shown(app))
        assert "collect: get_log: \\x1b[31mok" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.is_main)
        assert asked == [fixtures.EXIT_RUN]
        assert not app.main.asked[fixtures.EXIT_RUN].cancel.is_set()
        # Leaving asks.
        await pilot.press("q")
        await until(pilot, lambda: "The model is still being asked about a run" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.is_main)
        await pilot.press("M", "x")
        await until(pilot, lambda: "The analysis was stopped" in said(app))
        await until(pilot, lambda: "ended" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.is_main)
        assert "… model" not in shown(app)
