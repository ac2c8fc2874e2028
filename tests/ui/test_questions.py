"""Questions: whatever is asked, escape leaves it, and nothing was decided."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, until
from triage_tui.ui.app import TriageApp
from triage_tui.ui.screens.question import Question


@pytest.mark.parametrize(
    "keys",
    [
        ["x"],
        ["2", "x"],
        ["x", "6", *"no"],
        ["E"],
        ["q"],
        ["W"],
        *(["0", "space", key] for key in "axrRE"),
    ],
    ids=" ".join,
)
async def test_escape_leaves_a_question_and_decides_nothing(
    app: TriageApp, actions: RecordedActions, keys: Sequence[str]
) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press(*keys)
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        marked = set(app.main.runs.list.marked)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main, "the main screen")
        assert actions.calls == []
        assert app.main.runs.list.marked == marked


async def test_one_click_on_an_answer_gives_it(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("2", "x")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        await pilot.click("#question-answers", offset=(4, 1))
        await until(pilot, lambda: bool(actions.calls), "the rejection")
        assert app.screen is app.main


async def test_the_same_sentence_is_shown_once_at_a_time(app: TriageApp) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        for _ in range(5):
            app.main.say("this is said again and again")
            await until(pilot, lambda: "again and again" in said(app), "the sentence")
        app.main.say("this is another one")
        await until(pilot, lambda: "another one" in said(app), "another sentence")
        assert said(app).count("again and again") == 1


async def test_the_second_click_on_an_answer_does_nothing_below(
    app: TriageApp, actions: RecordedActions
) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        before = app.main.runs.cursor
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        await pilot.click("#question-answers", offset=(4, 1), times=2)
        await until(pilot, lambda: bool(actions.calls), "the rejection")
        await pilot.pause()
        assert app.screen is app.main
        assert (app.main.active, app.main.runs.cursor) == ("runs", before)


async def test_a_run_that_cannot_be_read_is_not_said_to_be_none(
    app: TriageApp, actions: RecordedActions
) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.BROKEN_RUN)
        await until(pilot, lambda: app.main.failure is not None, "the failure")
        await pilot.press("1", "D")
        await until(pilot, lambda: "This run cannot be read." in said(app), "the sentence")
        assert actions.calls == []
