"""A person freezes a running guest: Ctrl-C at a terminal, and the command from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e.commands import processes_with, start_in_background, triage_here
from tests.ui.terminal import Terminal
from tests.waiting import PATIENCE_S
from triage_tui.runs.listing import run_dirs
from triage_tui.runs.reader import load_run

Rootfs = Callable[[str], Path]
SPIN = ("/bin/busybox", "sh", "-c", "echo begun; while :; do :; done")


def run_command(rootfs: Rootfs, *options: str) -> tuple[str, ...]:
    root = str(rootfs("busybox-armhf"))
    return ("run", "--idle", "600", "--time-limit", "600", *options, "--rootfs", root, *SPIN)


def test_ctrl_c_freezes_and_the_second_one_ends(tmp_path: Path, rootfs: Rootfs) -> None:
    with Terminal(tmp_path, 24, 200, run_command(rootfs)) as terminal:
        terminal.until("guest: begun")
        terminal.press("\x03")
        terminal.until("waiting for a decision")
        (directory,) = run_dirs(tmp_path / "ai_runs")
        snapshot = load_run(directory).snapshot
        assert (snapshot.reason, snapshot.trigger.detail.split(":")[0]) == ("requested", "a person wanted it")
        assert snapshot.regs
        assert processes_with("echo begun")
        terminal.press("\x03")
        terminal.until("interrupted")
    assert not processes_with("echo begun")
    assert not list((tmp_path / "running").iterdir())


def test_a_command_freezes_what_runs_elsewhere(tmp_path: Path, rootfs: Rootfs) -> None:
    assert triage_here(tmp_path, "freeze").returncode != 0
    with Terminal(tmp_path, 24, 200, run_command(rootfs, "--wait", "0.1")) as terminal:
        terminal.until("guest: begun")
        asked = triage_here(tmp_path, "freeze")
        assert asked.returncode == 0
        assert "busybox" in asked.stderr + asked.stdout
        terminal.until("ended: nobody decided")
    (directory,) = run_dirs(tmp_path / "ai_runs")
    assert load_run(directory).snapshot.reason == "requested"


def test_a_key_in_the_app_freezes_what_runs(tmp_path: Path, rootfs: Rootfs) -> None:
    options = ("--idle", "600", "--time-limit", "600")
    with start_in_background(tmp_path, rootfs("busybox-armhf"), SPIN, *options) as holder:
        try:
            assert holder.stderr is not None
            while "guest: begun" not in holder.stderr.readline():
                assert holder.poll() is None
            with Terminal(tmp_path, 30, 120) as terminal:
                terminal.until("No runs")
                terminal.press("F")
                terminal.until("was frozen by a person")
        finally:
            holder.terminate()
            holder.communicate(timeout=PATIENCE_S)
    (directory,) = run_dirs(tmp_path / "ai_runs")
    assert load_run(directory).snapshot.reason == "requested"
