"""Who stops to read what a command prints, or starts it without streams, changes nothing of what it does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands import command, triage_here
from tests.programs import root_with
from triage_tui.cli.streams import open_missing
from triage_tui.runs.reader import load_run


def run_in_shell(
    tmp_path: Path, redirection: str, words: list[str], mode: str = "exec"
) -> subprocess.CompletedProcess[str]:
    script = f'{"exec " if mode == "exec" else ""}"$@" {redirection}'
    shell = ["bash", "-o", "pipefail", "-c", script, "bash", *command(tmp_path, *words)]
    return subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False)


def story(tmp_path: Path) -> list[str]:
    """Return the words of a run whose guest exits with code 5."""
    root = root_with(tmp_path / "root", "arm", "closes")
    return ["run", "--wait", "0.1", "--rootfs", str(root), "/bin/closes", "none", "0"]


def recorded(tmp_path: Path) -> list[str]:
    runs = [
        load_run(found) for found in (tmp_path / "ai_runs").iterdir() if (found / "snapshot.json").exists()
    ]
    return [f"{run.snapshot.reason} {run.snapshot.trigger.exit_code} {bool(run.diagnosis)}" for run in runs]


@pytest.mark.parametrize(
    "redirection",
    ["2>&1 | true", "2>&1 | head -1", "2>/dev/full", "2> >(exit 0)", ">&-", "<&- >&- 2>&-"],
)
def test_the_run_is_recorded(tmp_path: Path, redirection: str) -> None:
    done = run_in_shell(tmp_path, redirection, story(tmp_path), "" if "|" in redirection else "exec")
    assert recorded(tmp_path) == ["exit 5 True"]
    assert done.returncode == 4
    assert "internal error" not in done.stdout + done.stderr
    assert "Exception" not in done.stderr


def test_what_cannot_be_printed_is_said(tmp_path: Path) -> None:
    done = run_in_shell(tmp_path, ">/dev/full", story(tmp_path))
    assert recorded(tmp_path) == ["exit 5 True"]
    assert done.returncode == 2
    assert done.stderr.endswith("a file cannot be written or read: No space left on device\n")


@pytest.mark.parametrize("words", [["list"], ["schema", "snapshot"], ["show", "none"]], ids=" ".join)
def test_a_command_needs_no_streams(tmp_path: Path, words: list[str]) -> None:
    usual = triage_here(tmp_path, *words)
    for redirection in ("<&-", ">&-", "2>&-", ">&- 2>&-"):
        done = run_in_shell(tmp_path, redirection, words)
        assert done.returncode == usual.returncode
        assert done.stdout == ("" if ">&-" in redirection.split() else usual.stdout)
        assert done.stderr == ("" if "2>&-" in redirection else usual.stderr)


def test_streams_that_are_open_stay(tmp_path: Path) -> None:
    before = [os.fstat(fd)[:3] for fd in range(3)]
    open_missing()
    assert [os.fstat(fd)[:3] for fd in range(3)] == before
