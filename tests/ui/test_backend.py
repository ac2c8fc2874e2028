"""What the views may ask to be done: made when first asked for, and all of it refused when read-only."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown
from triage_tui.errors import TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.ui.actions import ACTIONS as KEYS
from triage_tui.ui.app import TriageApp
from triage_tui.ui.backend import ACTIONS, READ_ONLY, Actions, deferred


def anything(name: str) -> list[object]:
    """Return as many arguments as an action takes."""
    return [None] * (len(inspect.signature(getattr(Actions, name)).parameters) - 1)


class Untouched:
    """An engine that must not be reached: it notes whatever is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> object:
        self.asked.append(name)
        return lambda *arguments: "this was done"


def test_every_action_is_known_by_name() -> None:
    assert {"approve", "export", "retry"} <= ACTIONS
    for name in ACTIONS:
        wanted, real = (inspect.signature(getattr(one, name)) for one in (Actions, LocalActions))
        assert list(wanted.parameters) == list(real.parameters), name


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_no_action_of_a_read_only_app_reaches_the_engine(workspace: Path, name: str, given: bool) -> None:
    engine = Untouched()
    # Without actions an app is read-only too.
    app = TriageApp(workspace, read_only=given, actions=engine if given else None)  # type: ignore[arg-type]
    assert app.read_only
    with pytest.raises(TriageError, match=READ_ONLY):
        getattr(app.actions, name)(*anything(name))
    assert engine.asked == []


async def test_no_key_of_a_read_only_app_reaches_the_engine(workspace: Path) -> None:
    engine = Untouched()
    app = TriageApp(workspace, read_only=True, actions=engine)  # type: ignore[arg-type]
    async with app.run_test(size=(110, 40)) as pilot:
        await opened(pilot)
        assert "read-only" in shown(app)
        assert "approve" not in shown(app).split("\n")[-1]
        for marked in ([], ["0", "asterisk"]):
            for key in KEYS:
                if key.writes:
                    await pilot.press(*(marked or "2"), key.keys.split(",")[0])
                    await app.workers.wait_for_complete(
                        [worker for worker in app.workers if worker.group in ("action", "export")]
                    )
                    assert app.screen is app.main, f"{key.id} asks something"
        assert "read-only" in said(app)
        assert engine.asked == []
        assert not (workspace / "exports").exists()
        for run in (fixtures.EXIT_RUN, fixtures.LOOP_RUN):
            assert not list((workspace / "ai_runs" / run).glob("retry*"))


def test_deferred_actions_are_made_once_and_only_when_asked() -> None:
    made: list[RecordedActions] = []

    def make() -> RecordedActions:
        made.append(RecordedActions())
        return made[-1]

    actions = deferred(make)
    assert made == []
    actions.approve("r", ["f"])
    actions.save_edit("r", "f", "t", expect="0")
    assert [call[0] for call in made[0].calls] == ["approve", "save_edit"]
    assert len(made) == 1
    with pytest.raises(AttributeError):
        actions.erase  # type: ignore[attr-defined] # noqa: B018
