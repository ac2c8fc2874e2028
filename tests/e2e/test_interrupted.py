"""Who ends the supervisor of a running guest gets its record, and nothing else is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import (
    start_in_background,
    triage_json,
    triage_lines,
    wait_for_line,
    wait_until_gone,
)
from tests.waiting import PATIENCE_S
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace

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
    _, said = process.communicate(timeout=PATIENCE_S)
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
    process.communicate(timeout=PATIENCE_S)
    wait_until_gone(marker)
    runs = tmp_path / "ai_runs"
    assert not runs.exists() or list(runs.iterdir()) == []


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, rootfs: Rootfs) -> tuple[Path, str]:
    """A workspace with a run that was ended while its guest computed, and a word that its guests have."""
    workspace = tmp_path_factory.mktemp("ended")
    marker = f"marker-{os.getpid()}-ended"
    process = start_computing(workspace, rootfs("busybox-mipsel"), marker)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    return workspace, marker


@pytest.mark.parametrize("when", ["it runs", "it begins"])
def test_a_retry_is_stopped_with_its_record_and_leaves_no_process(
    tmp_path: Path, ended: tuple[Path, str], when: str
) -> None:
    shutil.copytree(ended[0], tmp_path, dirs_exist_ok=True)
    marker = ended[1]
    first = triage_json(tmp_path, "list")["run_id"]
    workspace = Workspace.at(tmp_path)
    actions, nobody = LocalActions(workspace, "ann"), threading.Event()
    actions.retry(first)
    with pytest.raises(Conflict, match="is being retried already"):
        actions.retry(first)
    if when == "it runs":
        wait_for_line(tmp_path / "ai_runs" / first / "retry.log", "guest: ready")
        with pytest.raises(Conflict, match="is being retried already"):
            LocalActions(workspace).retry(first)
        # Whoever sees it may stop it, not only who began it.
        said = LocalActions(workspace, "bob").stop_retry(first)
        assert "is recorded as it is, and ended" in said
        assert "needs person" in actions.await_retry(first, nobody)
    else:
        assert actions.stop_retry(first) == "the retry is stopped before it began"
        with pytest.raises(TriageError, match="ended before it began"):
            actions.await_retry(first, nobody)
    wait_until_gone(marker)
    wait_until_gone(f"--hold {first}")
    with pytest.raises(Conflict, match="is not being retried"):
        actions.stop_retry(first)
    events = workspace.load(first).events
    decided = next(event for event in events if event.kind == "decision")
    runs = [entry for entry in triage_lines(tmp_path, "list") if entry["run_id"] != first]
    if when == "it runs":
        assert (decided.actor, decided.payload) == ("bob", {"action": "stop"})
        assert events[-1].payload["why"] == "the retry came to nothing: a person stopped it"
        assert [(run["state"], run["problem"]) for run in runs] == [("ended", None)]
        assert workspace.load(runs[0]["run_id"]).snapshot.parent_run == first
    else:
        assert (decided.actor, runs) == ("ann", [])
    assert list((tmp_path / "running").iterdir()) == []


def test_who_ends_its_retries_leaves_none_of_their_guests(tmp_path: Path, ended: tuple[Path, str]) -> None:
    shutil.copytree(ended[0], tmp_path, dirs_exist_ok=True)
    marker = ended[1]
    first = triage_json(tmp_path, "list")["run_id"]
    actions = LocalActions(Workspace.at(tmp_path))
    actions.retry(first)
    assert actions.retries_under_way() == {first}
    wait_for_line(tmp_path / "ai_runs" / first / "retry.log", "guest: ready")
    assert actions.retries_under_way() == {first}
    actions.end_retries()
    assert actions.retries_under_way() == set()
    wait_until_gone(marker)
    wait_until_gone(f"--hold {first}")
    assert Workspace.at(tmp_path).load(first).events[-1].payload["why"].endswith("SIGTERM stopped it")
