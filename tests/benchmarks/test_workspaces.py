"""The workspaces of the benchmarks: real recordings, more of them, read by the product without complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import workspaces
from triage_tui.runs.listing import list_runs
from triage_tui.runs.reader import load_run


def test_many_runs_are_those_of_real_programs_with_other_names(tmp_path: Path) -> None:
    workspace = workspaces.make_workspace(tmp_path, 25)
    runs = list_runs(workspace / "ai_runs")
    assert len(runs) == len({run.run_id for run in runs}) == 25
    assert not [run.problem for run in runs if run.problem]
    assert len({run.target_id for run in runs}) == 25
    assert {run.state for run in runs} > {"proposed", "progressed"}


def test_a_run_that_is_added_is_the_newest(tmp_path: Path) -> None:
    workspace = workspaces.make_workspace(tmp_path, 2)
    added = workspaces.add_run(workspace)
    assert next(run.run_id for run in list_runs(workspace / "ai_runs")) == added.name


def test_the_large_run_is_read_without_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "CALLS", 1_000)
    monkeypatch.setattr(workspaces, "MEMORY_BYTES", 2 << 20)
    workspace = workspaces.make_large_workspace(tmp_path)
    (run_dir,) = (workspace / "ai_runs").iterdir()
    run = load_run(run_dir)
    assert not run.problems
    assert [call.seq for call in run.trace()] == list(range(1, 1_001))
    (reader,) = run.region_readers()
    assert reader.read(workspaces.HEAP + (1 << 20), 9) == b"block 1\0" + bytes([7919 & 0xFF])
