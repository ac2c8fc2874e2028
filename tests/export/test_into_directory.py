"""Exporting runs into a directory: names that are free, runs that cannot be exported, and stopping."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.ui import fixtures
from triage_tui.errors import Stopped, TriageError
from triage_tui.export.exporting import Wanted
from triage_tui.export.into_directory import export_runs, free_place

RUN = fixtures.EXIT_RUN


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    fixtures.make_workspace(tmp_path)
    return tmp_path


def dirs(workspace: Path, *run_ids: str) -> list[Path]:
    return [workspace / "ai_runs" / run_id for run_id in run_ids]


def test_several_runs_are_exported_and_a_broken_one_is_told(workspace: Path) -> None:
    told: list[str] = []
    run_dirs = dirs(workspace, RUN, fixtures.BROKEN_RUN, fixtures.LOOP_RUN)
    words = export_runs(workspace, run_dirs, Wanted("json"), None, threading.Event(), told.append)
    assert words.startswith(f"2 runs exported to {workspace / 'exports'}; 1 not: ")
    assert any(line.startswith("run 3 of 3, part ") for line in told)
    assert sorted(path.name for path in (workspace / "exports").iterdir()) == [
        f"{fixtures.LOOP_RUN}.zip",
        f"{RUN}.zip",
    ]


def test_stopped_in_the_middle_no_part_of_a_file_is_left(workspace: Path) -> None:
    cancel = threading.Event()

    def tell(far: str) -> None:
        if far.startswith("run 2"):
            cancel.set()

    with pytest.raises(Stopped, match="after 1 of 2"):
        export_runs(workspace, dirs(workspace, RUN, fixtures.LOOP_RUN), Wanted("json"), None, cancel, tell)
    assert [path.name for path in (workspace / "exports").iterdir()] == [f"{RUN}.zip"]


def test_a_planted_link_for_the_directory_is_refused(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (workspace / "exports").symlink_to(tmp_path / "away")
    with pytest.raises(TriageError, match="link"):
        export_runs(workspace, dirs(workspace, RUN), Wanted(), None, threading.Event(), lambda far: None)
    assert list((tmp_path / "away").iterdir()) == []


def test_a_free_name_is_one_that_no_link_has_either(tmp_path: Path) -> None:
    (tmp_path / f"{RUN}.md").symlink_to("nowhere")
    assert free_place(tmp_path, RUN, Wanted()).name == f"{RUN}-2.md"
