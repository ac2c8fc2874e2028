"""Watching runs: what happened, until it is time to end."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.strict import validator
from tests.e2e.commands import command
from tests.retry.decisions import workspace_at
from tests.waiting import PATIENCE_S
from triage_tui.cli.main import main
from triage_tui.runs.events import append_event, this_process


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIAGE_TUI_WORKSPACE", str(tmp_path))
    return tmp_path / "ai_runs" / workspace_at(tmp_path)


class Watching:
    """`triage-tui watch --json` in a process of its own, once it watches."""

    def __init__(self, run: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            command(run.parents[1], "watch", "--json", *words),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        assert "watching" in self.process.stderr.readline()

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        lines = [json.loads(line) for line in out.splitlines()]
        for line in lines:
            validator("error" if "error" in line else "watch").validate(line)
        return self.process.returncode, lines


def test_every_event_is_told_until_the_run_is_so(run: Path) -> None:
    watching = Watching(run, run.name, "--until", "waiting")
    append_event(run, "dropped", {"what": ["x"]}, "ann")
    append_event(run, "captured", {"holder": this_process()})
    code, lines = watching.end()
    assert code == 0
    assert [line["event"]["kind"] for line in lines] == ["dropped", "captured"]
    assert (lines[0]["event"]["actor"], lines[-1]["waiting"]) == ("ann", True)


def test_a_run_that_appears_and_goes(run: Path) -> None:
    watching = Watching(run, "--count", "1")
    other = run.with_name("20300101_000000_00000009")
    shutil.copytree(run, run.parent / "copy")
    (run.parent / "copy").rename(other)
    code, (line,) = watching.end()
    assert (code, line["run_id"]) == (0, other.name)
    watching = Watching(run, "--until", "removed")
    shutil.rmtree(run)
    code, lines = watching.end()
    assert code == 0
    assert (lines[-1]["what"], lines[-1]["run_id"], lines[-1]["state"]) == ("removed", run.name, "removed")


def test_a_run_that_is_waited_for_and_goes_is_said(run: Path) -> None:
    watching = Watching(run, run.name, "--until", "approved")
    shutil.rmtree(run)
    code, lines = watching.end()
    assert code == 2
    assert lines[-2]["what"] == "removed"
    assert lines[-1]["error"]["message"] == f"run {run.name} was removed while it was watched"


def test_a_holder_that_is_killed_is_told_although_no_file_changes(run: Path) -> None:
    holder = subprocess.Popen(["sleep", "600"])
    start = int(Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[19])
    append_event(run, "captured", {"holder": {"pid": holder.pid, "start": start}})
    watching = Watching(run, run.name, "--count", "1")
    holder.kill()
    holder.wait()
    code, (line,) = watching.end()
    assert (code, line["what"], line["waiting"], line["event"]) == (0, "changed", False, None)


def test_it_ends_when_nobody_reads_any_more(run: Path) -> None:
    watching = Watching(run)
    assert watching.process.stdout is not None
    watching.process.stdout.close()
    assert watching.process.wait(PATIENCE_S) == 0


def test_what_is_so_at_the_start_counts_and_what_does_not_come_is_no(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", run.name, "--until", "approved,proposed"]) == 0
    assert capsys.readouterr().out.startswith(f"{run.name}  now  proposed")
    assert main(["watch", run.name, "--until", "approved", "--timeout", "0.1"]) == 1
    assert f"run {run.name} did not come to approved in time" in capsys.readouterr().err
    for words in (["--until", "aproved"], ["--until", ","], ["--timeout", "nan"], ["--timeout", "-1"]):
        assert main(["watch", *words]) == 2
    assert "did you mean 'approved'?" in capsys.readouterr().err
