"""An experiment on a guest that another process holds frozen: it is read, and stays frozen."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.e2e.commands import command, triage_here, triage_json
from tests.programs import root_with
from tests.waiting import PATIENCE_S
from triage_tui.runs.events import holder_alive
from triage_tui.runs.listing import run_dirs
from triage_tui.runs.reader import load_run


def test_a_frozen_guest_is_read_and_goes_on_waiting(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "thumb", "keeps_quiet")
    workspace = tmp_path / "w"
    start = command(workspace, "run", "--rootfs", str(root), "/bin/keeps_quiet", "logs")
    with subprocess.Popen(start, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stderr is not None
            while "waiting for a decision" not in (line := holder.stderr.readline()):
                assert line, "it ended before it waited"
            listed = triage_json(workspace, "experiment", "last", "--list")
            (memory,) = [one for one in listed["experiments"] if one["kind"] == "memory"]
            assert memory["cost"] == (
                "reads the guest while it waits frozen; afterwards, a new run with all of its memory kept"
            )
            done = triage_here(workspace, "experiment", "--json", "last", memory["id"])
            outcome = json.loads(done.stdout)
            assert outcome["told"] is (done.returncode == 0)
            assert "cannot read the serial number" in outcome["learnt"]
            (directory,) = run_dirs(workspace / "ai_runs")
            assert outcome["run_id"] == directory.name
            run = load_run(directory)
            assert "experiment_answered" in [event.kind for event in run.events]
            assert holder_alive(run.events)
            assert triage_here(workspace, "decide", "last", "end").returncode == 0
        finally:
            holder.terminate()
            holder.communicate(timeout=PATIENCE_S)


def test_what_cannot_be_tried_is_said_in_one_sentence(tmp_path: Path) -> None:
    for arguments in (("last",), ("../x", "--list")):
        done = triage_here(tmp_path, "experiment", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("triage-tui: ")
        assert done.stderr.count("\n") == 1
