"""`triage-tui list`: duplicates are counted, not shown, and can be unfolded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ui import fixtures
from triage_tui.cli.main import main

IDS = ("20251118_130000_00000001", "20251118_130000_00000002", "20251118_130000_00000003")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for run_id in IDS:
        fixtures.make_loop_run(tmp_path / "ai_runs", run_id, rounds=3)
    fixtures.make_exit_run(tmp_path / "ai_runs")
    return tmp_path


def test_runs_of_one_story_are_one_row_with_their_number(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say = ("list", "-C", str(place))
    assert main([*say]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert len(lines) == 3
    (row,) = (line for line in lines if IDS[2] in line)
    assert "\N{MULTIPLICATION SIGN}3" in row
    assert "2 more runs of the same targets and causes" in told.err
    assert main([*say, "--unfold"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    at = next(number for number, line in enumerate(lines) if line.startswith(IDS[2]))
    assert [line.split()[0] for line in lines[at : at + 3]] == [IDS[2], IDS[1], IDS[0]]
    assert lines[at + 1].startswith("  ")
    assert main([*say, "-n", "1", "--sort", "score"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_script_gets_every_run_with_its_story(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say = ("list", "-C", str(place), "--json")
    assert main([*say]) == 0
    runs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["run_id"] for one in runs] == sorted((one["run_id"] for one in runs), reverse=True)
    alike = [one for one in runs if one["run_id"] in IDS]
    assert len({one["story"] for one in alike}) == 1
    assert {(one["seen"], one["folded"]) for one in alike} == {(3, 0)}
    assert main([*say, "--fold"]) == 0
    folded = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(one["run_id"], one["seen"], one["folded"]) for one in folded if one["seen"] > 1} == {
        (IDS[2], 3, 2)
    }
    assert len(folded) == 2
