"""Keys that are typed at once: each is done before the next one is looked at, and by what it was typed at."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from textual import events
from textual.screen import Screen

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.errors import TriageError
from triage_tui.rulebook.choices import Approval
from triage_tui.ui.app import TriageApp
from triage_tui.ui.panes.syscalls import SyscallsPane
from triage_tui.ui.widgets.typed_line import TypedLine

LARGE = (160, 48)
NAMES = {"/": "slash", ":": "colon", "\r": "enter", "\x7f": "backspace", "\x1b": "escape", " ": "space"}


def burst(app: TriageApp, keys: str) -> None:
    """Type without waiting for the app between two keys."""
    for key in keys:
        app.post_message(events.Key(NAMES.get(key, key), key if key.isprintable() else None))


class SlowActions(RecordedActions):
    """Approvals last until they are let go, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.fails = False

    def approve_shown(self, run_id: str, approvals: Sequence[Approval], *, anyway: bool = False) -> str:
        assert self.go.wait(60)
        if self.fails:
            self.calls.append(("refused", run_id))
            raise TriageError("somebody was quicker")
        return super().approve_shown(run_id, approvals)


@pytest.fixture
def actions() -> SlowActions:
    return SlowActions()


def done(actions: SlowActions) -> list[str]:
    return [call[0] for call in actions.calls]


@pytest.mark.parametrize(
    ("keys", "order"), [("aR", ["approve", "decide"]), ("aur", ["approve", "rollback", "decide"])]
)
async def test_a_decision_waits_for_the_one_before(
    app: TriageApp, actions: SlowActions, keys: str, order: list[str]
) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.press("2")
        await until(pilot, lambda: app.main.patch.approvals)
        burst(app, keys)
        threading.Timer(0.3, actions.go.set).start()
        await until(pilot, lambda: len(actions.calls) == len(order))
        assert done(actions) == order


async def test_what_is_typed_behind_a_decision_that_fails_is_void(
    app: TriageApp, actions: SlowActions
) -> None:
    actions.fails = True
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.press("2")
        await until(pilot, lambda: app.main.patch.approvals)
        burst(app, "ar")
        threading.Timer(0.3, actions.go.set).start()
        await until(pilot, lambda: "What was typed behind that was not done." in said(app))
        await pilot.press("R")
        await until(pilot, lambda: len(actions.calls) > 1)
        assert actions.calls[1:] == [("decide", fixtures.EXIT_RUN, "retry")]


@pytest.mark.parametrize("keys", ["x\r", "a\r", "r\r", "R\x1b", "\r\r", "\r\x1b\x1b", "q1"])
async def test_keys_that_a_question_does_not_know_go_nowhere_else(
    app: TriageApp, actions: SlowActions, keys: str
) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.press("E")
        await until(pilot, lambda: "End the frozen guest" in shown(app))
        burst(app, keys)
        await until(pilot, lambda: app.screen is app.main)
        await pilot.pause()
        assert (app.screen, app.main.active, actions.calls) == (
            app.main,
            "diagnosis" if keys in ("q1", "\r\r") else "runs",
            [],
        )


async def test_letters_behind_a_label_of_the_jump_mode_are_keys_of_the_pane(app: TriageApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.press("J")
        await until(pilot, lambda: "type a label" in shown(app))
        burst(app, "ajjj\x1b\x1b")
        await until(pilot, lambda: app.screen is app.main)
        await pilot.press("6")
        await until(pilot, lambda: app.main.active == "registers")


@pytest.mark.parametrize("wait", [True, False])
async def test_the_palette_runs_what_was_typed(app: TriageApp, actions: SlowActions, wait: bool) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.press("2")
        burst(app, ":")
        if wait:
            await until(pilot, lambda: "Approve" in shown(app))
        burst(app, "go to the registers\r")
        await until(pilot, lambda: app.main.active == "registers" and app.screen is app.main)
        burst(app, ":theme\r\r\r")
        await until(pilot, lambda: isinstance(app.screen, Screen) and app.screen is not app.main)
        assert actions.calls == []


async def test_two_steps_back_are_two_steps_while_a_run_is_being_read(app: TriageApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        main = app.main
        await pilot.press("1")
        main.follow("ev:syscall/11")
        calls = main.query_one(SyscallsPane)
        await until(pilot, lambda: calls.marked)
        main.note_place()
        main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: main.view and main.view.run_id == fixtures.LOOP_RUN)
        main.note_place()
        main.runs.select(fixtures.RETRY_RUN)
        await until(pilot, lambda: main.view and main.view.run_id == fixtures.RETRY_RUN)
        burst(app, "\x7f\x7f")
        await until(pilot, lambda: main.view and main.view.run_id == fixtures.EXIT_RUN)
        await until(pilot, lambda: main.active == "syscalls" and calls.marked)
        assert len(main.trail) == 1


@pytest.mark.parametrize("pane", ["runs", "syscalls", "code"])
async def test_keys_in_one_burst_take_effect_in_their_order(app: TriageApp, pane: str) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        app.main.show_pane(pane)
        shown_pane = app.main.pane(pane)

        async def after(keys: str) -> tuple[str, bool, bool]:
            burst(app, keys)
            await pilot.pause()
            text = getattr(shown_pane, "filter_text", "") or shown_pane.search_text
            return text, app.main.single, app.focused is shown_pane

        # z, behind Enter, is the key that gives the pane the whole screen.
        assert await after("/zw\x7fz9\rz") == ("zz9", True, True)
        assert await after("z/\x7f8\r") == ("zz8", False, True)
        assert await after("/1\x1bz") == ("", True, True)
        assert not app.main.query(TypedLine)


async def test_a_burst_is_pasted_and_typed_into_an_address_and_a_question(
    app: TriageApp, actions: SlowActions
) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        burst(app, "7g")
        app.post_message(events.Paste("sp+\nmore"))
        burst(app, "4\r2")
        await pilot.pause()
        assert app.main.active == "patch"
        assert not app.main.query(TypedLine)
        burst(app, "x6quick, 1 of 2\r3")
        await until(pilot, lambda: actions.calls, "the rejection")
        assert "quick, 1 of 2" in str(actions.calls)
        await until(pilot, lambda: app.main.active == "syscalls", "the key behind the reason")
