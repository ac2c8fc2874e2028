"""What a guest that makes no calls does: which thread computes or waits, and what a signal stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Syscall


def threads_of(history: list[Syscall]) -> tuple[int, int]:
    """Return the ids of the first and of the second thread."""
    first, second = dict.fromkeys(call.tid for call in history)
    return first, second


@pytest.mark.parametrize(
    ("kind", "index"), [("computes beside a wait", 0), ("waits beside a computation", 1)]
)
def test_the_thread_that_computes_is_looked_at(tmp_path: Path, qemu_dir: Path, kind: str, index: int) -> None:
    root = root_with(tmp_path, "arm", "idles")
    with Guest.start(spec(root, qemu_dir, "/bin/idles", kind)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.spinning, stop.trigger.syscall_name) == ("idle", True, "")
        assert stop.trigger.tid == threads_of(guest.history())[index]
        assert guest.registers()["pc"]


def test_a_thread_that_outlives_the_first_one_is_looked_at(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "arm", "idles")
    with Guest.start(spec(root, qemu_dir, "/bin/idles", "ends its first thread")) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.spinning, stop.trigger.syscall_name) == ("idle", False, "read")
        assert stop.trigger.tid == threads_of(guest.history())[1]
        assert "exit" not in stop.trigger.detail
        assert guest.processes() == [guest.pid]
        assert guest.read_memory(0x10000, 4) == b"\x7fELF"


@pytest.mark.usefixtures("each_carrier")
def test_a_program_that_stopped_itself_does_not_wait_in_a_call(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "arm", "idles")
    with Guest.start(spec(root, qemu_dir, "/bin/idles", "stops itself")) as guest:
        stop = guest.run_until_stop()
        trigger = stop.trigger
        assert (stop.reason, trigger.stopped, trigger.spinning) == ("idle", "SIGSTOP", False)
        assert trigger.sender == trigger.pid
        assert trigger.syscall_name in ("kill", "tkill", "tgkill")
        assert "stopped by SIGSTOP, which it sent" in trigger.detail
