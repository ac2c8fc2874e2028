"""The example of docs/scripting.md as it stands there, on a real program."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.strict import validator
from tests.e2e.commands import triage_lines
from tests.packaging.checkout import ROOT
from triage_tui.setup import known_programs

PROGRAM = "xl2tpd-arm64"


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the script of the page in a directory of its own."""
    page = (ROOT / "docs" / "scripting.md").read_text()
    (script,) = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "ci.sh").write_text(script)
    command = tmp_path / "bin" / "triage-tui"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m triage_tui "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CI_WORKSPACE": str(tmp_path / "triage"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "ci.sh", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            cwd=tmp_path, env=environment, timeout=240, check=False,
        )  # fmt: skip

    return run


def test_the_job_of_the_page_mends_a_real_program(
    tmp_path: Path,
    job: Callable[..., subprocess.CompletedProcess[str]],
    rootfs: Callable[[str], Path],
) -> None:
    done = job(str(rootfs(PROGRAM)), *known_programs()[PROGRAM].argv)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "it got further"
    told = json.loads((tmp_path / "outcome.json").read_text())
    validator("run").validate(told)
    assert told["exit_code"] == 0
    runs = {one["run_id"] for one in told["rounds"]}
    assert len(runs) > 1
    assert {path.name.split(".")[0] for path in (tmp_path / "pages").iterdir()} == runs
    # What was recorded, and what was decided, one line for each.
    for line in triage_lines(tmp_path / "triage", "list"):
        validator("list").validate(line)
    nothing = job(str(tmp_path), "/bin/nothing")
    assert nothing.returncode == 2
    failed = json.loads((tmp_path / "outcome.json").read_text())
    validator("error").validate(failed)
    assert "could not be run" in nothing.stdout
