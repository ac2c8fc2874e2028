"""Questions: whatever is asked, escape leaves it, and nothing was decided."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.ui.conftest import RecordedActions, opened, until
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
