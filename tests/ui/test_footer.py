"""Every key in the footer of every pane leads to its action, which does what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.ui import fixtures
from tests.ui.code_runs import add_source
from tests.ui.conftest import RecordedActions, opened, said, until
from tests.ui.fixtures import add_experiment
from triage_tui.runs.events import append_event
from triage_tui.ui.actions import ACTIONS, BY_ID, PANES
from triage_tui.ui.actions.model import Action
from triage_tui.ui.app import TriageApp
from triage_tui.ui.exporting import CHOICES
from triage_tui.ui.screens.availability import available
from triage_tui.ui.widgets.bar import Bar

PANE_NAMES = ("runs", *(name for name, _, _ in PANES))
RUN_PANES = " ".join(PANE_NAMES[1:])
SEARCHED = " ".join(name for name in PANE_NAMES if name not in ("runs", "syscalls"))


@dataclass(frozen=True)
class Case:
    """What a key of the footer does."""

    effect: str
    """`call WORDS` asks for an action, `screen NAME` opens one, `pane NAME` goes there, `said TEXT` answers
    with a sentence; `typing` opens a line to type into, `run` goes to another run, and `drawn` draws the pane
    anew."""
    panes: str = " ".join(PANE_NAMES)
    first: tuple[str, ...] = ()
    """Keys that lead to where the action is offered."""
    run: str = fixtures.EXIT_RUN
    on_row: bool = False
    """Whether it is offered on some rows only: then the first such row is gone to."""


ELSEWHERE = " ".join(name for name in PANE_NAMES if name != "patch")
"""Where what is to be decided cannot be seen: there the first press shows it."""

CASES: dict[str, tuple[Case, ...]] = {
    "approve": (Case("call approve", "patch"), Case("pane patch", ELSEWHERE)),
    "edit": (Case("said cannot hand over to an editor", "patch"), Case("pane patch", ELSEWHERE)),
    "edit_here": (Case("screen EditorScreen", "patch"), Case("pane patch", ELSEWHERE)),
    "reject": (Case("screen Question"),),
    "rollback": (Case("call rollback", "patch", first=("a",)),),
    "redo": (Case("call approve", "patch", first=("a", "u")),),
    "resume": (Case("call decide resume"),),
    "retry": (Case("call decide retry"),),
    "end": (Case("screen Question"),),
    "experiment": (Case("call experiment"),),
    "mark": (Case("drawn", "patch"),),
    "approve_all": (Case("call approve", "patch"),),
    "counterfactual": (Case("call counterfactual", "patch"),),
    "next_hunk": (Case("drawn", "patch"),),
    "divide_hunk": (Case("drawn", "patch", on_row=True),),
    # Without room for two texts the key says so; where there is room, test_patch_review looks at the texts.
    "turn_patch": (Case("said Side by side needs", "patch", first=("v",)),),
    "match_runs": (Case("drawn", "patch"),),
    "filter": (Case("typing", "runs syscalls"),),
    "search": (Case("typing", SEARCHED),),
    "call_code": (Case("pane backtrace", "syscalls"),),
    "next_hit": (Case("drawn", "diagnosis", first=("slash", "e", "enter")),),
    "previous_hit": (Case("drawn", "diagnosis", first=("slash", "e", "enter")),),
    "story": (Case("drawn", "runs", on_row=True),),
    "mark_run": (Case("drawn", "runs"),),
    "mark_all": (Case("drawn", "runs"),),
    "mark_range": (Case("said Rows are marked", "runs"),),
    "sort": (Case("drawn", "runs"),),
    "peek": (
        Case("screen Sheet", "diagnosis syscalls backtrace code registers memory process", on_row=True),
    ),
    "compare": (Case("said Now choose the other run", "runs"),),
    "next_source": (Case("drawn", "code"),),
    "decompile": (Case("call decompile", "code backtrace"),),
    "failures": (Case("drawn", "syscalls"),),
    # This record does not tell which call printed what.
    "output": (Case("said does not say which call printed what", "syscalls"),),
    "next_thread": (Case("drawn", "registers backtrace"),),
    "previous_thread": (Case("drawn", "registers backtrace"),),
    "go_to_address": (Case("typing", "memory"),),
    "next_run": (Case("run"),),
    "next_round": (Case("run", "history"),),
    "previous_round": (Case("run", "history", run=fixtures.RETRY_RUN),),
    "return": (Case("pane backtrace", "backtrace", first=("enter",)),),
    "runs": (Case("pane runs", RUN_PANES, first=("z",)),),
    "zoom": (Case("drawn"),),
    "export": (Case("screen Question"),),
    "jump": (Case("screen Jump"),),
    "open": (
        Case("pane diagnosis", "runs"),
        Case("screen Sheet", "syscalls"),
        Case("pane code", "backtrace"),
        Case("pane syscalls", "diagnosis registers process", on_row=True),
        Case("drawn", "code", on_row=True),
        Case("drawn", "memory", on_row=True),
        Case("run", "history", on_row=True),
    ),
    "help": (Case("screen HelpScreen"),),
    "quit": (Case("screen Leaving"),),
}
"""Action in the footer -> what its key does, by pane."""

IN_NEED = ("rollback", "redo", "next_hit", "previous_hit", "return", "next_round", "previous_round", "runs")
"""Offered in every pane once there is reason to; these are pressed in the panes that their cases name."""


PRESSED = 3
"""Panes in which a key with the same effect in many is pressed; in the others it must lead to its action."""


def case_of(action: Action, pane: str) -> Case | None:
    return next((case for case in CASES[action.id] if pane in case.panes.split()), None)


def is_pressed(case: Case, action: Action, pane: str) -> bool:
    """Tell whether the key of an action is pressed in a pane: which ones it is differs from key to key."""
    panes = case.panes.split()
    turn = (panes.index(pane) - list(CASES).index(action.id)) % len(panes)
    return len(panes) <= 2 * PRESSED or turn % (len(panes) // PRESSED) == 0


def test_every_action_of_the_footer_has_a_case() -> None:
    assert set(CASES) == {action.id for action in ACTIONS if action.footer}
    for name, cases in CASES.items():
        panes = [pane for case in cases for pane in case.panes.split()]
        assert panes, name
        assert len(panes) == len(set(panes)), name
        assert set(panes) <= set(PANE_NAMES), name


def drawn(app: TriageApp, pane: str) -> str:
    view = app.main.pane(pane)
    lines = (view.render_line(y) for y in range(view.size.height))
    seen = ["".join(f"{part.text}{part.style}" for part in line) for line in lines]
    # What is added may be below what can be seen.
    return "\n".join([view.note, str(len(view.rows)), *seen])


class Footer:
    """One app, in one pane, whose keys are pressed one after the other."""

    def __init__(self, pilot: Pilot[None], app: TriageApp, actions: RecordedActions, pane: str) -> None:
        self.pilot, self.app, self.actions, self.pane = pilot, app, actions, pane

    async def begin(self, run: str = fixtures.EXIT_RUN) -> None:
        """Show the pane at its first row, with nothing open over it and nothing decided."""
        app, main, pane = self.app, self.app.main, self.app.main.pane(self.pane)
        await self.quiet()
        while app.screen is not main:
            await app.pop_screen()
        if main.open_line is not None:
            main.end_typing(pane)
        if main.single:
            main.action_zoom()
        app.clear_notifications()
        main.trail.clear()
        main.decided.clear()
        main.undone.clear()
        main.compared = None
        if main.runs.in_range:
            main.runs.toggle_range()
        main.runs.set_marks(())
        if pane.search_text:
            pane.set_search("")
        if main.view is None or main.view.run_id != run or main.wanted != run:
            main.runs.select(run)
            main.load(run)
            await until(self.pilot, lambda: main.view is not None and main.view.run_id == run, run)
        main.runs.select(run)
        main.show_pane(self.pane)
        if self.pane != "runs":
            pane.move_to(pane.first(pane.rows))
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until all that was asked for is done."""
        await self.pilot.pause()
        if not all(worker.is_finished for worker in self.app.workers):
            await until(self.pilot, lambda: all(worker.is_finished for worker in self.app.workers), "quiet")

    async def offer(self, action: Action, case: Case) -> None:
        """Go to where an action is offered, and see that its key leads to it."""
        app, main = self.app, self.app.main
        for key in case.first:
            await self.pilot.press(key)
            await self.quiet()
        if case.on_row:
            pane = main.pane(self.pane)
            for row in range(len(pane.rows)):
                if available(main, action):
                    break
                pane.move_to(row)
        assert available(main, action), f"{action.id} is not offered in {self.pane}"
        for key in action.keys.split(","):
            found = app.screen.active_bindings.get(key)
            assert found is not None, f"{key} does nothing in {self.pane}"
            assert found.binding.action == action.action, f"{key} is {found.binding.id} in {self.pane}"

    async def press(self, action: Action, case: Case) -> None:
        """Press the key of an action where it is offered, and look for its effect."""
        app, main = self.app, self.app.main
        await self.offer(action, case)
        app.clear_notifications()
        calls, cursor, before = len(self.actions.calls), main.runs.cursor, drawn(app, self.pane)
        await self.pilot.press(action.keys.split(",")[0])
        kind, _, what = case.effect.partition(" ")

        def came() -> bool:
            match kind:
                case "call":
                    return any(set(what.split()) <= set(call) for call in self.actions.calls[calls:])
                case "screen":
                    return type(app.screen).__name__ == what
                case "pane":
                    return main.active == what
                case "said":
                    return what in said(app)
                case "typing":
                    return isinstance(app.focused, Input)
                case "run":
                    return main.runs.cursor != cursor
                case _:
                    return drawn(app, self.pane) != before

        if not came():
            await until(self.pilot, came, f"{action.id} in {self.pane}: {case.effect}; said: {said(app)}")


@pytest.mark.parametrize("name", PANE_NAMES)
async def test_every_key_of_the_footer(
    app: TriageApp, actions: RecordedActions, workspace: Path, name: str
) -> None:
    add_source(workspace)
    add_experiment(workspace / "ai_runs" / fixtures.EXIT_RUN)
    led_to = {"verdict": "progressed", "run": fixtures.RETRY_RUN}
    append_event(workspace / "ai_runs" / fixtures.EXIT_RUN, "retry_finished", led_to)
    async with app.run_test(size=(130, 32)) as pilot:
        await opened(pilot)
        footer = Footer(pilot, app, actions, name)
        failed: list[str] = []
        changed = True
        for action in (action for action in ACTIONS if action.footer):
            case = case_of(action, name)
            pressed = case is not None and (bool(case.first) or is_pressed(case, action, name))
            run = case.run if case is not None else fixtures.EXIT_RUN
            if pressed or changed or app.main.wanted != run:
                await footer.begin(run)
            changed = pressed or (case is not None and case.on_row)
            if case is not None:
                try:
                    await (footer.press(action, case) if pressed else footer.offer(action, case))
                except AssertionError as error:
                    failed.append(str(error))
            elif action.id not in IN_NEED and available(app.main, action):
                failed.append(f"{action.id} is offered in {name}, and no case says what it does")
        assert not failed, "\n".join(failed)


async def test_the_footer_follows_the_row_and_is_empty_under_a_question(app: TriageApp) -> None:
    async with app.run_test(size=(130, 32)) as pilot:
        await opened(pilot)

        def offered() -> list[str]:
            return [item.text.strip() for _, item in app.main.query_one("#keys", Bar).places()]

        await pilot.press("1")
        assert BY_ID["open"].label not in offered()
        pane = app.main.pane("diagnosis")
        linked = pane.rows.find(lambda row: bool(row.links))
        assert linked
        await pilot.press(*["j"] * linked)
        assert BY_ID["open"].label in offered()
        await pilot.press("x")
        await until(pilot, lambda: not offered(), "an empty footer")
        await pilot.press("escape")
        await until(pilot, lambda: BY_ID["open"].label in offered(), "the footer of the pane")


async def test_the_footer_shows_the_keys_of_an_open_line(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        bar = app.main.query_one("#keys", Bar)

        async def offered(keys: Sequence[str]) -> str:
            await pilot.press(*keys)
            return "".join(item.text for _, item in bar.places()).strip()

        for keys, line in {
            "/": "⏎ keep the filter  esc no filter  ↓ to the rows",
            "1/": "⏎ keep, then n and N step  esc back to where it began",
            "7g": "⏎ go there  esc leave",
            f"W{len(CHOICES) + 1}": "⏎ this directory  esc leave",
        }.items():
            assert await offered(keys) == line
            assert "? help" in await offered(["escape"])
        await pilot.press("0", "/", *"zz9")
        await pilot.pause()
        await pilot.click("#keys", offset=(2, 0))
        await pilot.pause()
        assert app.main.runs.filter_text == "zz9"
        assert "? help" in await offered([])
