"""What only guests whose calls are held by ptrace can show; what both carriers do is tested with each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.guest.helpers import cell_processes, shell, spec
from tests.waiting import wait_until
from triage_tui.errors import TriageError
from triage_tui.guest.spec import TriggerLimits
from triage_tui.guest.supervisor import Guest

Rootfs = Callable[[str], Path]

PATIENT = TriggerLimits(idle_s=60, time_limit_s=120, off=frozenset(("loop", "sleep_loop")))
_SUPERVISOR = """
import sys
from pathlib import Path
from tests.guest.helpers import shell, spec
from tests.guest.calls.test_trace_carrier import PATIENT
from triage_tui.guest.supervisor import Guest
root, qemu, script = sys.argv[1:]
start = spec(Path(root), Path(qemu), *shell(script), triggers=PATIENT, carrier="trace")
Guest.start(start, on_event=lambda _, text: print(text, flush=True)).run_until_stop()
"""


def await_end_of(pids: list[int]) -> None:
    """Wait until processes are gone."""
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), lambda: f"the end of {pids}")


def test_the_carrier_is_said(rootfs: Rootfs, qemu_dir: Path) -> None:
    start = spec(rootfs("tail-armel"), qemu_dir, *shell("exit 3"), carrier="trace")
    with Guest.start(start) as guest:
        assert guest.carrier == "seccomp-trace"
        assert "seccomp with ptrace, no notifications: as was asked for" in guest.contained
        assert guest.run_until_stop().exit_code == 3
    with Guest.start(replace(start, carrier="auto")) as guest:
        assert guest.carrier == "seccomp-notify"
        assert "seccomp user notification" in guest.contained
    with pytest.raises(TriageError, match="the carrier must be one of auto, notify, trace, not 'pigeon'"):
        Guest.start(replace(start, carrier="pigeon"))


def test_nothing_is_left_when_the_supervisor_is_killed(rootfs: Rootfs, qemu_dir: Path) -> None:
    marker = f"left-behind-{os.getpid()}"
    # Three shells that stay what they are: one that executes a program gives up its command line.
    waits = "(while :; do sleep 1000; done)"
    script = f"trap '' TERM INT HUP; : {marker}; echo ready; {waits} | {waits}"
    command = [sys.executable, "-c", _SUPERVISOR, str(rootfs("tail-armel")), str(qemu_dir), script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"ready\n"
        wait_until(lambda: len(cell_processes(marker)) == 3)
        pids = cell_processes(marker)
        supervisor.kill()
    await_end_of(pids)


def test_nothing_runs_on_when_the_tracer_is_killed(rootfs: Rootfs, qemu_dir: Path) -> None:
    ready = threading.Event()
    script = "echo ready; while true; do cat /etc/passwd; done"
    start = spec(rootfs("tail-armel"), qemu_dir, *shell(script), triggers=PATIENT, carrier="trace")
    with Guest.start(start, on_event=lambda what, _: ready.set() if what == "output" else None) as guest:
        assert guest.run_until_stop(wanted=ready.is_set).reason == "requested"
        pids = guest.processes()
        os.kill(guest._cell.launcher.pid, signal.SIGKILL)
        assert guest.run_until_stop().ended
        await_end_of(pids)


def test_another_thread_may_go_on_with_the_guest(rootfs: Rootfs, qemu_dir: Path) -> None:
    start = spec(rootfs("tail-armel"), qemu_dir, *shell("sleep 0.1; exit 5"), carrier="trace")
    codes: list[int | None] = []
    with Guest.start(start) as guest:
        running = threading.Thread(target=lambda: codes.append(guest.run_until_stop().exit_code))
        running.start()
        running.join()
    assert codes == [5]
