"""Code that is added to a record later: kept as the best, and older evidence stays true."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.ui import fixtures
from tests.ui.code_runs import place_frame, results
from triage_tui.binary.code_source import FunctionCode
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.frame_code import decompiled, frame_of, from_results, keep
from triage_tui.runs.evidence import make_link, resolve
from triage_tui.runs.reader import load_run
from triage_tui.ui.loading import load_view

FOUND = FunctionCode("int f(void);\n", "pseudocode", "decompiled by angr 9.2")


def test_what_is_kept_is_the_best_source_and_evidence_on_the_older_one_holds(tmp_path: Path) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    run = load_run(run_dir)
    links = [make_link(run, "code", 1, line=9), make_link(run, "code", 1)]
    keep(run, frame_of(run, 1), FOUND)
    keep(run, frame_of(run, 1), FOUND)
    again = load_run(run_dir)
    files = [ref.file for ref in again.snapshot.backtrace.pseudocode_index if ref.frame == 1]
    assert files == ["pseudocode/frame01_0x431e4c.angr.c", "pseudocode/frame01_0x431e4c.txt"]
    assert all(resolve(again, link).hash_ok for link in links)
    assert resolve(again, make_link(again, "code", 1, line=1)).text == "int f(void);"
    assert load_view(run_dir, tmp_path).code[1][0].provenance == FOUND.provenance


def test_a_record_of_another_version_is_not_written(tmp_path: Path) -> None:
    run_dir = fixtures.make_newer_run(tmp_path / "ai_runs")
    before = (run_dir / "snapshot.json").read_bytes()
    run = load_run(run_dir)
    frame = load_run(fixtures.make_exit_run(tmp_path / "ai_runs")).snapshot.backtrace.frames[1]
    with pytest.raises(TriageError, match="of another version"):
        keep(run, frame, FOUND)
    assert (run_dir / "snapshot.json").read_bytes() == before


def test_a_frame_outside_of_all_files_has_no_code(tmp_path: Path) -> None:
    run = load_run(fixtures.make_exit_run(tmp_path / "ai_runs"))
    with pytest.raises(TriageError, match="has no frame 99"):
        frame_of(run, 99)
    with pytest.raises(TriageError, match=r"no decompiler is installed|lies in no program file"):
        decompiled(run, frame_of(run, 3))


def test_show_prints_pseudocode_of_results_and_recorded_code_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = tmp_path / "demo"
    fixtures.make_workspace(workspace)
    place_frame(workspace)
    directory = results(tmp_path / "results")
    command = ["show", fixtures.EXIT_RUN, "-C", str(workspace), "--sfanalysis", str(directory)]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "--- frame 1  analysed  pseudocode from SFAnalysis" in text
    assert "return 7;" in text
    assert "bgez" not in text
    assert "strncpy_IFNAMSIZ" in text, "frame 2 has only what was recorded"
    assert main([*command, "--json"]) != 0
    assert main([*command[:-1], str(tmp_path / "absent")]) != 0
    run = load_run(workspace / "ai_runs" / fixtures.EXIT_RUN)
    assert from_results(frame_of(run, 2), SfAnalysis(directory)) is None


def test_the_app_refuses_a_directory_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage_tui.cli.ui.require_terminal", lambda: None)
    assert main(["ui", "-C", str(tmp_path), "--sfanalysis", str(tmp_path / "absent")]) != 0
    assert "there is no directory" in capsys.readouterr().err


def test_nothing_but_the_backtrace_is_changed(tmp_path: Path) -> None:
    """Writing code into a record changes the index of code and nothing else."""
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    before = msgspec.json.decode((run_dir / "snapshot.json").read_bytes())
    run = load_run(run_dir)
    keep(run, frame_of(run, 1), FOUND)
    after = msgspec.json.decode((run_dir / "snapshot.json").read_bytes())
    before.pop("backtrace"), after.pop("backtrace")
    assert before == after
