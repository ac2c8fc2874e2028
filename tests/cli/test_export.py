"""`triage-tui export` and `triage-tui import`: where they write, and what they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.checkout import ROOT
from tests.ui import fixtures
from triage_tui.cli.main import main

RUN = fixtures.EXIT_RUN


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    fixtures.make_exit_run(tmp_path / "ai_runs", waiting=False)
    fixtures.make_loop_run(tmp_path / "ai_runs")
    return tmp_path


def export(workspace: Path, *arguments: str) -> int:
    return main(["export", "-C", str(workspace), *arguments])


def test_without_a_name_it_goes_into_the_workspace(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, ending in (("markdown", "md"), ("html", "html"), ("json", "zip")):
        assert export(workspace, "last", "--format", kind) == 0
        path = workspace / "exports" / f"{RUN}.{ending}"
        assert capsys.readouterr().out == f"{path}\n"
        assert path.stat().st_size > 500
    assert sorted(path.name for path in (workspace / "exports").iterdir()) == [
        f"{RUN}.{ending}" for ending in ("html", "md", "zip")
    ]


def test_standard_output(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(workspace, RUN, "-o", "-") == 0
    assert capsys.readouterr().out.startswith("# udhcpc")
    assert not (workspace / "exports").exists()
    assert export(workspace, RUN, fixtures.LOOP_RUN, "-o", "-") == 2
    assert "one run" in capsys.readouterr().err


def test_a_bundle_goes_down_a_pipe_whole(workspace: Path) -> None:
    command = [sys.executable, "-m", "triage_tui", "export", "-C", str(workspace), RUN, "--format", "json"]
    piped = subprocess.run([*command, "-o", "-"], cwd=ROOT, capture_output=True, check=True).stdout
    assert export(workspace, RUN, "--format", "json") == 0
    assert piped == (workspace / "exports" / f"{RUN}.zip").read_bytes()


def test_several_runs_go_into_a_directory(workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    assert export(workspace, RUN, fixtures.LOOP_RUN, RUN, "--format", "html", "-o", str(out)) == 0
    assert sorted(path.name for path in out.iterdir()) == [f"{fixtures.LOOP_RUN}.html", f"{RUN}.html"]


def test_nothing_is_overwritten_unasked(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.md"
    path.write_text("mine")
    assert export(workspace, RUN, "-o", str(path)) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert export(workspace, RUN, "-o", str(path), "--force") == 0
    assert path.read_text().startswith("# udhcpc")


def test_nothing_is_written_through_links_or_into_devices(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = tmp_path / "victim.md"
    victim.write_text("mine")
    (tmp_path / "link.md").symlink_to(victim)
    (tmp_path / "dangling.md").symlink_to(tmp_path / "made.md")
    os.mkfifo(tmp_path / "fifo.md")
    for name in ("link.md", "dangling.md", "fifo.md"):
        for force in ([], ["--force"]):
            assert export(workspace, RUN, "-o", str(tmp_path / name), *force) == 2
            assert capsys.readouterr().err.count("\n") == 1
    away = tmp_path / "away"
    away.mkdir()
    (workspace / "exports").symlink_to(away)
    assert export(workspace, RUN) == 2
    assert "link" in capsys.readouterr().err
    assert victim.read_text() == "mine"
    assert list(away.iterdir()) == []
    assert not (tmp_path / "made.md").exists()


def test_a_name_that_cannot_be_written_is_said_in_one_sentence(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(workspace, RUN, "-o", str(tmp_path / "none" / "x.md")) == 2
    assert export(workspace, RUN, "--memory") == 2
    assert export(workspace, "nothing") == 2
    assert [line.startswith("triage-tui: ") for line in capsys.readouterr().err.splitlines()] == [True] * 3


def test_what_is_exported_can_be_imported(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(workspace, RUN, "--format", "json", "--json") == 0
    file = json.loads(capsys.readouterr().out)["exported"][0]["file"]
    other = tmp_path / "other"
    assert main(["import", "-C", str(other), file]) == 0
    assert capsys.readouterr().out.startswith(f"{RUN}: ")
    assert main(["show", RUN, "-C", str(other)]) == 0
    assert "eth0" in capsys.readouterr().out
    assert main(["import", "-C", str(other), file]) == 2
    assert "already" in capsys.readouterr().err


def test_an_empty_name_is_refused(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert export(workspace, RUN, "-o", "") == 2
    assert "-o needs the name of a file" in capsys.readouterr().err
    assert not list((tmp_path / "here").iterdir())
