"""The rounds of one target as a ladder in the history pane."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.runs.listing import RunSummary
from triage_tui.runs.reader import load_run
from triage_tui.runs.rounds import MAX_ROUNDS, ladder
from triage_tui.runs.writer import encode_json
from triage_tui.ui.app import TriageApp
from triage_tui.ui.panes.history import ToRun
from triage_tui.ui.rounds import ladder_rows


def chain(runs: Path, count: int) -> list[str]:
    """Make `count` rounds, each a retry of the one before."""
    names = [f"20251118_15{number // 60:02d}{number % 60:02d}_00000001" for number in range(count)]
    for number, name in enumerate(names):
        run_dir = fixtures.make_loop_run(runs, name, rounds=1 + number)
        snapshot = load_run(run_dir).snapshot
        snapshot.round = number
        snapshot.parent_run = names[number - 1] if number else None
        snapshot.statistics.syscalls, snapshot.statistics.distinct_signatures = 100 + 10 * number, 20
        (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
        if number + 1 < count:
            fixtures.write_events(run_dir, [("captured", {}), ("retry_finished", {"run": names[number + 1]})])
    return names


@pytest.mark.parametrize("place", [0, 2, 4])
def test_every_round_knows_those_before_and_behind(tmp_path: Path, place: int) -> None:
    names = chain(tmp_path, 5)
    assert [run.run_id for run in ladder(load_run(tmp_path / names[place]))] == names


def test_figures_stand_beside_those_of_the_round_before(tmp_path: Path) -> None:
    names = chain(tmp_path, 3)
    rows = ladder_rows(ladder(load_run(tmp_path / names[1])), names[1], 120)
    assert "100 calls, 20 kinds" in rows[1].text
    assert "110 calls (+10), 20 kinds" in rows[2].text
    assert [row.fill for row in rows] == ["", "", "current", ""]
    assert rows[3].target == ("run", names[2])


def test_where_there_is_little_room_the_calls_still_stand_there(tmp_path: Path) -> None:
    names = chain(tmp_path, 3)
    rows = ladder_rows(ladder(load_run(tmp_path / names[1])), names[1], 76)
    assert rows[2].text.endswith(" 110 calls (+10)")


@pytest.mark.parametrize("width", [40, 60, 78, 120])
def test_rows_are_safe_and_fit_where_there_is_room(tmp_path: Path, width: int) -> None:
    evil = RunSummary(run_id="20251118_150000_00000001", reason="\x1b[2J" * 9, cause="\u202e" * 9)
    for row in ladder_rows([evil, evil], evil.run_id, width):
        assert row.text.isprintable()
        assert cell_len(row.text) <= max(width, 60)


def test_a_run_of_its_own_has_no_ladder(tmp_path: Path) -> None:
    (name,) = chain(tmp_path, 1)
    assert ladder_rows(ladder(load_run(tmp_path / name)), name, 80) == []


def test_hostile_links_between_runs_end(tmp_path: Path) -> None:
    names = chain(tmp_path / "runs", 3)
    last = tmp_path / "runs" / names[2]
    fixtures.write_events(last, [("retry_finished", {"run": names[0]})])
    assert [run.run_id for run in ladder(load_run(last))] == names, "a circle"
    fixtures.write_events(last, [("retry_finished", {"run": "../../etc"})])
    assert len(ladder(load_run(last))) == 3
    outside = fixtures.make_loop_run(tmp_path / "elsewhere", "20251118_170000_00000009")
    (tmp_path / "runs" / outside.name).symlink_to(outside)
    fixtures.write_events(last, [("retry_finished", {"run": outside.name})])
    assert len(ladder(load_run(last))) == 3, "links are not followed"


def test_endless_rounds_are_bounded(tmp_path: Path) -> None:
    names = chain(tmp_path, MAX_ROUNDS + 10)
    assert len(ladder(load_run(tmp_path / names[0]))) == MAX_ROUNDS + 1


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_enter_on_a_round_opens_it(app: TriageApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.RETRY_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.RETRY_RUN)
        await pilot.press("H")
        pane = app.main.pane("history")
        row = pane.rows.find(lambda row: row.target == ToRun(fixtures.EXIT_RUN) and "▶" not in row.text)
        assert row is not None
        assert any("Rounds" in pane.rows.row(n).text for n in range(len(pane.rows)))
        pane.move_to(row)
        await pilot.press("enter")
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.EXIT_RUN)
        assert "udhcpc" in shown(app)


async def test_keys_step_from_round_to_round_in_the_same_pane(app: TriageApp) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.RETRY_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.RETRY_RUN)
        await pilot.press("6", "N")
        await until(pilot, lambda: "No round retries this one" in said(app))
        await pilot.press("P")
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.EXIT_RUN)
        assert app.main.active == "registers"
        await pilot.press("P")
        await until(pilot, lambda: "This is the first round" in said(app))
