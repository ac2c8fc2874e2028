"""A supervisor without descriptors: nothing gets past it, and what it saw is written down."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import build, root_with
from triage_tui.guest.calls.giving_up import EXHAUSTED
from triage_tui.guest.freezing.stops import Stop
from triage_tui.guest.host.descriptor_reserve import ENOUGH
from triage_tui.guest.record.capture import capture
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Engine
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter

_SCRIPT = """
import sys
from pathlib import Path
from tests.guest.test_exhausted_supervisor import run_exhausted
run_exhausted(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""
ENDS_WITH = 12
"""With so many descriptors and the reserve, the guest comes to its end."""
LEFT = (*range(9), ENDS_WITH, 32)


def leave(count: int) -> None:
    """Lower this process's limit so that it can open `count` descriptors more."""
    probes = [os.dup(0) for _ in range(count + 1)]
    for probe in probes:
        os.close(probe)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probes[-1], hard))


def check_record(guest: Guest, stop: Stop, runs: Path) -> None:
    """Fail if the record does not say why the guest was stopped."""
    writer = RunWriter(runs)
    capture(guest, stop, writer, target=guest.target, engine=Engine())
    run = load_run(writer.publish())
    if EXHAUSTED in guest.problems:
        assert run.snapshot.reason == "unknown"
        assert run.snapshot.trigger.detail.startswith(EXHAUSTED)
        # Still without any, it is still frozen, or ends, refused what it asks for.
        again = guest.run_until_stop()
        assert again.ended or guest.is_frozen


def run_exhausted(root: Path, qemu_dir: Path, runs: Path) -> None:
    """Run a guest with 0, 1, 2, ... descriptors left; say how each ended, and what was executed in all."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    for left in LEFT:
        how = spec(root, qemu_dir, "/bin/insists", "/bin/is_native", "/bin/is_native")
        with Guest.start(how) as guest:
            leave(ENOUGH + left)
            stop = guest.run_until_stop()
            if EXHAUSTED in guest.problems or left == ENDS_WITH:
                check_record(guest, stop, runs / str(left))
            print(left, stop.reason, EXHAUSTED in guest.problems, *guest.output().decode().split())
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("each_carrier")
def test_nothing_runs_natively_and_the_record_is_written(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "arm", "insists")
    shutil.copy(build("is_native", os.uname().machine), root / "bin/is_native")
    command = [sys.executable, "-c", _SCRIPT, str(root), str(qemu_dir), str(tmp_path / "runs")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert [int(line[0]) for line in lines] == list(LEFT)
    assert "NATIVE" not in ended.stdout
    assert lines[0][1:] == ["unknown", "True"]
    assert lines[-1][1:] == ["exit", "False", "emulated", "emulated"]
