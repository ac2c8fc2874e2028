"""Who ends the supervisor of a running guest gets its record, and nothing else is left."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import start_in_background, triage_json, wait_until_gone

Rootfs = Callable[[str], Path]


def start_computing(workspace: Path, rootfs: Path, marker: str) -> subprocess.Popen[str]:
    """Start a supervisor whose guest computes for ever, and wait until it does."""
    script = f"echo ready; : {marker}; while :; do :; done"
    options = ("--idle", "1000", "--time-limit", "1000")
    process = start_in_background(workspace, rootfs, ["/bin/busybox", "sh", "-c", script], *options)
    assert process.stderr is not None
    for line in process.stderr:
        if "guest: ready" in line:
            return process
    raise AssertionError("it did not begin")


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_guest_that_runs_is_recorded_before_it_is_ended(
    tmp_path: Path, rootfs: Rootfs, which: signal.Signals
) -> None:
    marker = f"marker-{os.getpid()}-{which.name}"
    process = start_computing(tmp_path, rootfs("busybox-mipsel"), marker)
    process.send_signal(which)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + which
    assert ("interrupted" if which == signal.SIGINT else f"ended by {which.name}") in said
    entry = triage_json(tmp_path, "list")
    assert (entry["reason"], entry["state"], entry["problem"], entry["waiting"]) == (
        "requested", "ended", None, False,
    )  # fmt: skip
    snapshot = triage_json(tmp_path, "show", entry["run_id"])["snapshot"]
    assert f"{which.name} ended its supervision" in snapshot["trigger"]["detail"]
    assert snapshot["regs"]
    assert [item.name for item in (tmp_path / "ai_runs").iterdir()] == [entry["run_id"]]
    wait_until_gone(marker)


def test_no_running_guest_survives_a_supervisor_that_is_killed(tmp_path: Path, rootfs: Rootfs) -> None:
    marker = f"marker-{os.getpid()}-killed"
    process = start_computing(tmp_path, rootfs("busybox-mipsel"), marker)
    process.kill()
    process.communicate(timeout=60)
    wait_until_gone(marker)
    runs = tmp_path / "ai_runs"
    assert not runs.exists() or list(runs.iterdir()) == []
