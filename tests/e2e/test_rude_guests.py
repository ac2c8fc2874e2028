"""Programs that misbehave, through the command line: a clear end, a whole record, and nothing left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import last_json, processes_with, triage
from tests.guest.host_state import host_state
from tests.programs import build, root_with
from triage_tui.runs.reader import load_run

# Who does one thing very often is a loop to us, and here it is to come to its end.
OPTIONS = ("--policy", "auto", "--rounds", "1", "--idle", "2", "--time-limit", "60", "--no-stop", "loop")


def run(workspace: Path, root: Path, *argv: str) -> dict[str, Any]:
    """Run a program for one round; return the round. Nothing may be left of it but its record."""
    marker = f"rude-{os.getpid()}-{workspace.name}"
    host = host_state()
    # In a process of its own: what it would leave to this one would be seen.
    story = last_json(triage(workspace, "run", "--json", *OPTIONS, "--rootfs", str(root), *argv, marker))
    assert processes_with(marker) == []
    assert host_state() == host
    (one,) = story["rounds"]
    # Nothing but the published run, and it can be read in full.
    assert [path.name for path in (workspace / "ai_runs").iterdir()] == [one["run_id"]]
    loaded = load_run(workspace / "ai_runs" / one["run_id"])
    assert loaded.problems == []
    assert not [path for path in loaded.dir.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]
    return {**one, "run": loaded}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return root_with(tmp_path / "root", "arm", "greedy")


def test_a_guest_that_dies_at_once(tmp_path: Path, root: Path) -> None:
    one = run(tmp_path / "w", root, "/bin/greedy", "dies")
    assert one["reason"] == "signal"
    assert one["run"].snapshot.trigger.signal == "SIGABRT"


def test_a_guest_that_forks_hundreds_of_times(tmp_path: Path, root: Path) -> None:
    one = run(tmp_path / "w", root, "/bin/greedy", "forks")
    snapshot = one["run"].snapshot
    assert (one["reason"], snapshot.trigger.exit_code) == ("exit", 5)
    assert snapshot.statistics.processes == 601
    assert b"forks 600 errno 0" in (one["run"].dir / snapshot.guest_output).read_bytes()


def test_a_guest_that_makes_processes_until_it_may_not(tmp_path: Path, root: Path) -> None:
    one = run(tmp_path / "w", root, "/bin/greedy", "processes")
    assert one["run"].snapshot.trigger.exit_code == 5
    failed = [call for call in one["run"].trace() if call.errno == "EAGAIN"]
    assert failed


def test_a_guest_that_writes_more_than_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(build("flood", "arm", "-DBYTES=(1L<<28)"), root / "bin" / "flood")
    one = run(tmp_path / "w", root, "/bin/flood")
    snapshot = one["run"].snapshot
    assert one["reason"] == "exit"
    assert snapshot.statistics.output_bytes == 1 << 28
    assert (one["run"].dir / snapshot.guest_output).stat().st_size < 2 << 20


def test_a_guest_that_closes_every_descriptor(tmp_path: Path, root: Path) -> None:
    one = run(tmp_path / "w", root, "/bin/greedy", "closes")
    snapshot = one["run"].snapshot
    assert (one["reason"], snapshot.trigger.exit_code) == ("exit", 6)
    # The record goes on after the last close.
    assert "/etc/after-closing" in [call.path for call in snapshot.recent_syscalls if call.errno == "ENOENT"]


def test_a_guest_that_kills_its_parent(tmp_path: Path, root: Path) -> None:
    one = run(tmp_path / "w", root, "/bin/greedy", "parents")
    trigger = one["run"].snapshot.trigger
    assert (one["reason"], trigger.signal) == ("signal", "SIGKILL")
    kill = next(call for call in one["run"].trace() if call.name == "kill")
    assert kill.ret == 0


def test_a_guest_that_fills_the_disk(tmp_path: Path, root: Path) -> None:
    before = sorted(path.name for path in root.rglob("*"))
    free = shutil.disk_usage(tmp_path).free
    one = run(tmp_path / "w", root, "/bin/greedy", "disk")
    assert one["run"].snapshot.trigger.exit_code == 5
    assert [call.errno for call in one["run"].trace() if call.errno == "ENOSPC"]
    assert sorted(path.name for path in root.rglob("*")) == before
    assert free - shutil.disk_usage(tmp_path).free < 64 << 20


def test_an_interpreter_that_is_missing(tmp_path: Path, rootfs: Any) -> None:
    source = rootfs("xl2tpd-arm64")
    (tmp_path / "root/usr/sbin").mkdir(parents=True)
    shutil.copy(source / "usr/sbin/xl2tpd", tmp_path / "root/usr/sbin/xl2tpd")
    done = triage(tmp_path / "w", "run", "--rootfs", str(tmp_path / "root"), "/usr/sbin/xl2tpd")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "interpreter" in line
    assert not list((tmp_path / "w").glob("ai_runs/*"))


def test_a_program_with_nothing_behind_its_header(tmp_path: Path) -> None:
    program = tmp_path / "program"
    data = bytearray(build("calls", "mips").read_bytes())
    program.write_bytes(data[:0x34] + bytes(len(data) - 0x34))
    program.chmod(0o755)
    done = triage(tmp_path / "w", "run", str(program))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("triage-tui: ")
    assert not list((tmp_path / "w").glob("ai_runs/*"))
