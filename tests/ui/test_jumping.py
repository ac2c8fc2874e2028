"""Jump mode: a label on everything that can be seen and gone to, on any size."""

from __future__ import annotations

import itertools

import pytest

from tests.ui.conftest import opened, shown, until
from triage_tui.ui.app import TriageApp
from triage_tui.ui.jumping import KEYS, Goal, goals, labels
from triage_tui.ui.screens.jump import Jump


@pytest.mark.parametrize("count", [0, 1, len(KEYS), len(KEYS) + 1, 60, 300, len(KEYS) ** 2, 10_000])
def test_no_label_is_the_beginning_of_another(count: int) -> None:
    made = labels(count)
    assert len(made) == min(count, len(KEYS) ** 2) == len(set(made))
    assert not any(b.startswith(a) for a, b in itertools.pairwise(sorted(made)))


async def jump_to(app: TriageApp, wanted: Goal) -> list[str]:
    found = goals(app.main)
    return list(labels(len(found))[found.index(wanted)])


@pytest.mark.parametrize("size", [(60, 14), (80, 24), (160, 48), (200, 60)])
async def test_panes_links_and_rows_can_be_jumped_to(app: TriageApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        goal = next(goal for goal in goals(app.main) if goal.pane == "diagnosis")
        await pilot.press("J", *await jump_to(app, goal))
        await until(pilot, lambda: app.screen is app.main and app.main.active in ("diagnosis", "syscalls"))
        await pilot.press("1")
        app.main.pane("diagnosis").move_to(0)
        await pilot.pause()
        found = goals(app.main)
        assert all(0 <= goal.x < size[0] and 0 <= goal.y < size[1] for goal in found)
        link = next(goal for goal in found if goal.link and "syscall/11" in goal.link)
        await pilot.press("J", *await jump_to(app, link))
        await until(pilot, lambda: app.main.active == "syscalls" and app.main.pane("syscalls").marked)
        assert app.main.trail
        await pilot.press("4")
        await pilot.pause()
        rows = [goal for goal in goals(app.main) if goal.pane == "backtrace" and goal.row]
        await pilot.press("J", *await jump_to(app, rows[0]))
        await until(pilot, lambda: app.main.pane("backtrace").cursor == rows[0].row)


async def test_labels_follow_a_resize_and_escape_leaves(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("J")
        await until(pilot, lambda: "type a label to go there" in shown(app))
        before = len(app.screen.query(".jump-label"))
        await pilot.resize_terminal(160, 48)
        await until(pilot, lambda: len(app.screen.query(".jump-label")) > before)
        await until(pilot, lambda: "type a label to go there" in shown(app))
        assert isinstance(app.screen, Jump)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert app.main.active == "runs"
