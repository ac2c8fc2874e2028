"""Real programs that take more than their share: each is stopped at its limit, and nothing of it is left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.guest.helpers import cell_processes, spec
from tests.guest.host_state import host_state, tree_state
from tests.programs import root_with
from triage_tui.guest.host.process import threads
from triage_tui.guest.spec import ResourceLimits, TriggerLimits
from triage_tui.guest.supervisor import Guest

PATIENT = TriggerLimits(idle_s=60, time_limit_s=120, loop_repeats=10**9, loop_calls=10**9)
SMALL = ResourceLimits(processes=40, memory_bytes=256 << 20, disk_bytes=32 << 20, open_files=128)
EAGAIN, ENOMEM, EMFILE, ENOSPC = 11, 12, 24, 28

LIMITED = [
    ("processes", EAGAIN, range(10, 40)),
    ("memory", ENOMEM, range(16, 256)),
    ("disk", ENOSPC, range(16, 33)),
    ("descriptors", EMFILE, range(100, 129)),
]


@pytest.mark.parametrize(("what", "error", "between"), LIMITED, ids=[what for what, *_ in LIMITED])
def test_a_limit_stops_the_guest_and_is_seen_by_it(
    tmp_path: Path, qemu_dir: Path, what: str, error: int, between: range
) -> None:
    root = root_with(tmp_path / "root", "arm", "greedy")
    marker = f"marker-{os.getpid()}-{what}"
    host, tree = host_state(), tree_state(root)
    free = shutil.disk_usage(tmp_path).free
    how = spec(root, qemu_dir, "/bin/greedy", what, marker, triggers=PATIENT, limits=SMALL)
    with Guest.start(how) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        line = next(line for line in guest.output().decode().splitlines() if " errno " in line)
        _, amount, _, number = line.split()
        assert int(number) == error
        assert int(amount) in between
        if what == "processes":
            failed = [call for call in guest.history() if call.errno == "EAGAIN"]
            assert failed
            for call in failed:
                assert (call.note or "").startswith("the limit of 40 processes and threads of this run")
        noted = {call.note for call in guest.history() if call.errno in ("ENOSPC", "ENOMEM")}
        if what == "disk":
            assert noted == {"the limit of 32 MiB for written files of this run"}
        if what == "memory":
            assert noted == {"the limit of 256 MiB for the memory of one process of this run"}
        assert cell_processes(marker)
    assert cell_processes(marker) == []
    assert tree_state(root) == tree
    assert host_state() == host
    assert free - shutil.disk_usage(tmp_path).free < 16 << 20


def test_memory_that_is_not_counted_met_no_limit_of_the_run(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "arm", "greedy")
    how = spec(root, qemu_dir, "/bin/greedy", "elsewhere", triggers=PATIENT, limits=SMALL)
    with Guest.start(how) as guest:
        assert guest.run_until_stop().reason == "exit"
        failed = [(c.name, c.errno, c.note) for c in guest.history() if c.errno in ("ENOSPC", "ENOMEM")]
        assert failed == [("mmap2", "ENOMEM", None)]


@pytest.mark.usefixtures("each_carrier")
def test_users_of_the_guest_do_not_each_have_the_limit_of_processes(tmp_path: Path, qemu_dir: Path) -> None:
    how = spec(root_with(tmp_path, "arm", "users"), qemu_dir, "/bin/users", triggers=PATIENT, limits=SMALL)
    with Guest.start(how) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        _, amount, _, number = guest.output().split()
        assert int(number) == EAGAIN
        assert int(amount) > 10
        assert sum(len(threads(pid)) for pid in guest.processes()) <= SMALL.processes
        failed = [call.note or "" for call in guest.history() if call.errno == "EAGAIN"]
        assert all(note.startswith("the limit of 40 processes and threads of this run") for note in failed)


@pytest.mark.parametrize("kind", ["crowd", "crowd without first threads"])
def test_processes_that_take_too_much_together_lose_one(tmp_path: Path, qemu_dir: Path, kind: str) -> None:
    root = root_with(tmp_path, "arm", "greedy")
    marker = f"marker-{os.getpid()}-crowd"
    limits = ResourceLimits(tree_memory_bytes=300 << 20)
    with Guest.start(
        spec(root, qemu_dir, "/bin/greedy", kind, marker, triggers=PATIENT, limits=limits)
    ) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        assert b"crowd 1 errno 9" in guest.output()
        assert "more than 300 MiB of memory together" in guest.problems[0]
    assert cell_processes(marker) == []


def test_a_guest_that_kills_its_parent_ends_and_nothing_is_left(tmp_path: Path, qemu_dir: Path) -> None:
    marker = f"marker-{os.getpid()}-parents"
    limits = TriggerLimits(idle_s=2, time_limit_s=120)
    how = spec(
        root_with(tmp_path, "mips", "greedy"), qemu_dir, "/bin/greedy", "parents", marker, triggers=limits
    )
    with Guest.start(how) as guest:
        stop = guest.run_until_stop()
        # The child lives on and waits for ever; the death of its parent is what is looked at.
        assert (stop.reason, stop.signal, len(guest.processes())) == ("signal", "SIGKILL", 1)
        kills = [call for call in guest.history() if call.name == "kill"]
        assert [call.note for call in kills] == [None]
    assert cell_processes(marker) == []


def test_a_flood_of_output_is_bounded(tmp_path: Path, qemu_dir: Path) -> None:
    limits = ResourceLimits(output_bytes=100_000)
    how = spec(root_with(tmp_path, "arm", "flood"), qemu_dir, "/bin/flood", triggers=PATIENT, limits=limits)
    with Guest.start(how) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "exit"
        assert len(guest.output()) <= 101_000
        assert guest.statistics().output_bytes > 100_000
