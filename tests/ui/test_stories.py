"""The list of runs folded by story: what is one story, its order, and the cursor that stays on its run."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.runs.events import append_event
from triage_tui.runs.listing import RunSummary
from triage_tui.runs.stories import ORDERS, Entry, fold, group, ordered, story_of
from triage_tui.ui.app import TriageApp
from triage_tui.ui.run_list import RunList
from triage_tui.ui.run_rows import run_row


def run(number: int, program: str = "/sbin/httpd", cause: str = "missing_file", **more: object) -> RunSummary:
    run_id = f"20251118_1400{number:02d}_00000001"
    summary = RunSummary(run_id=run_id, program=program, argv=[program], cause=cause)
    for name, value in more.items():
        setattr(summary, name, value)
    return summary


def ids(rows: list[Entry]) -> list[int]:
    return [int(row.run.run_id[13:15]) for row in rows]


def test_runs_of_one_target_and_cause_take_one_row_the_newest() -> None:
    rows = fold(
        group(ordered([run(1), run(2), run(3, cause="network_wait"), run(4, "/bin/sh"), run(5)])), set()
    )
    assert ids(rows) == [5, 4, 3]
    assert [row.folded for row in rows] == [2, 0, 0]
    assert [row.size for row in rows] == [3, 1, 1]


def test_an_opened_story_has_all_its_runs_below_the_newest() -> None:
    runs = ordered([run(1), run(2), run(3, "/bin/sh")])
    rows = fold(group(runs), {story_of(run(1))})
    assert [(number, row.inside) for number, row in zip(ids(rows), rows, strict=True)] == [
        (3, False), (2, False), (1, True),
    ]  # fmt: skip


def test_what_waits_for_a_person_or_is_broken_is_never_folded_away() -> None:
    runs = [
        run(1, waiting=True),
        run(2, waiting=True),
        run(3),
        run(4, problem="snapshot.json cannot be read"),
    ]
    rows = fold(group(ordered(runs)), set())
    assert ids(rows) == [2, 1, 4]
    assert [row.folded for row in rows] == [1, 0, 0]


def test_targets_that_the_record_tells_apart_are_different_stories() -> None:
    assert story_of(run(1, rootfs="/fw/a")) != story_of(run(2, rootfs="/fw/b"))
    assert story_of(run(1, signature="missing_file open(/a)")) != story_of(
        run(2, signature="missing_file open(/b)")
    )
    # Another build in the same place.
    assert story_of(run(1, target_id="a")) == story_of(run(2, target_id="b"))
    assert story_of(run(1, argv=["/sbin/httpd", "-p", "80"])) != story_of(run(2))
    assert story_of(run(1)) == story_of(run(2))


@pytest.mark.parametrize("order", ORDERS)
def test_in_every_order_waiting_runs_come_first(order: str) -> None:
    runs = [run(1, confidence=0.9), run(2, cause="", confidence=0.1), run(3, waiting=True), run(4, "/a", "z")]
    assert ordered(runs, order)[0].waiting
    assert len(ordered(runs, order)) == 4


def test_the_least_sure_come_before_those_of_which_nothing_is_said() -> None:
    runs = [run(1, confidence=0.9), run(2, confidence=0.2), run(3, cause="")]
    assert [one.confidence for one in ordered(runs, "least sure")] == [0.2, 0.9, 0.0]


@pytest.mark.parametrize("width", [30, 44, 49, 50, 80, 99, 100, 160])
def test_every_row_fits(width: int) -> None:
    for entry in (Entry(run(1)), Entry(run(1), 120, 121), Entry(run(1), 0, 3), Entry(run(1), 0, 3, True)):
        row = run_row(entry, width)
        assert cell_len(row.text) <= max(width, 44)
        if entry.folded:
            assert "\N{MULTIPLICATION SIGN}121" in row.text


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_key_unfolds_and_folds_a_story(app: TriageApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        pane = app.main.runs
        before = len(pane.rows)
        assert "\N{MULTIPLICATION SIGN}2" in shown(app)
        await pilot.press("0", "o")
        assert len(pane.rows) == before + 1
        assert "│" in pane.rows.row(1).text
        await pilot.press("j")
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.RETRY_RUN)
        await pilot.press("o")
        assert len(pane.rows) == before
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.EXIT_RUN)
        await pilot.press("G", "o")
        await until(pilot, lambda: "the only run of its target" in said(app))


async def test_the_run_under_the_cursor_is_never_folded_away(app: TriageApp, workspace: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.LOOP_RUN)
        fixtures.make_loop_run(workspace / "ai_runs", "20251119_000000_00000009", rounds=3)
        await until(pilot, lambda: app.main.runs.title_note == "7", "the new run")
        selected = app.main.runs.selected
        assert selected is not None
        assert selected.run_id == fixtures.LOOP_RUN
        append_event(workspace / "ai_runs" / fixtures.LOOP_RUN, "decision", {"action": "end"})
        await pilot.press("s", "s", "s", "s", "s")
        assert app.main.runs.selected is not None
        assert app.main.runs.selected.run_id == fixtures.LOOP_RUN


async def test_orders_are_gone_through_and_named_in_the_title(app: TriageApp) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("0")
        for order in (*list(ORDERS)[1:], None):
            await pilot.press("s")
            await pilot.pause()
            assert app.main.runs.title_note == (f"6 by {order}" if order else "6")
            first = app.main.runs.rows.row(0).target
            assert first.waiting


def test_runs_that_a_process_may_leave_are_known() -> None:
    runs = RunList()
    runs.set_runs([run(1, waiting=True), run(2, state="retrying"), run(3)])
    assert runs.waiting == {run(1).run_id}
    assert runs.live == {run(1).run_id, run(2).run_id}
    runs.update({run(1).run_id: run(1), run(2).run_id: None})
    assert runs.live == runs.waiting == set()


def test_the_story_of_a_run_that_is_to_be_seen_opens() -> None:
    runs = RunList()
    runs.set_runs([run(1), run(2), run(3, "/bin/sh")])
    runs.arrange()
    assert runs.place(run(1).run_id) is None
    runs.arrange(keep=run(1).run_id)
    assert [entry.run.run_id for entry in runs.entries] == [run(n).run_id for n in (3, 2, 1)]
    runs.filter = "sh"
    runs.arrange(keep=run(1).run_id)
    assert [entry.run.run_id for entry in runs.entries] == [run(3).run_id]
