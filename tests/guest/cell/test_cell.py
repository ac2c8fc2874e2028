"""Nothing of a guest outlives its supervisor, however that one ends; and no privilege is needed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import cell_processes, shell, spec
from tests.waiting import PATIENCE_S, wait_until
from triage_tui.guest.supervisor import Guest

_PROGRAM = """
import sys
from pathlib import Path
from triage_tui.guest.spec import LaunchSpec, TriggerLimits
from triage_tui.guest.supervisor import Guest

root, qemu, marker = sys.argv[1:]
script = f": {marker}; (while :; do :; done) | (while :; do :; done)"
spec = LaunchSpec(
    program="/bin/busybox", argv=["sh", "-c", script], rootfs=Path(root), qemu_dir=Path(qemu),
    triggers=TriggerLimits(idle_s=60, time_limit_s=60),
)
spec.argv[0] = "/bin/busybox"
spec.argv.insert(1, "sh")
with Guest.start(spec) as guest:
    print("started", flush=True)
    guest.run_until_stop()
"""


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_supervisor_is_ended(
    rootfs: Callable[[str], Path], qemu_dir: Path, which: signal.Signals
) -> None:
    marker = f"marker-{os.getpid()}-{which}"
    mounts = Path("/proc/self/mounts").read_text()
    command = [sys.executable, "-c", _PROGRAM, str(rootfs("busybox-armel")), str(qemu_dir), marker]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"started\n"
        wait_until(lambda: len(cell_processes(marker)) == 3)
        supervisor.send_signal(which)
        supervisor.wait(PATIENCE_S)
        wait_until(lambda: not cell_processes(marker))
        assert Path("/proc/self/mounts").read_text() == mounts
    finally:
        supervisor.kill()
        supervisor.wait()


def _open_here() -> set[str]:
    """Return the descriptors of this process, but for the few copies of emulators that wait for a guest."""
    links = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links[name] = os.readlink(f"/proc/self/fd/{name}")
    copies = {name for name, link in links.items() if "memfd:qemu-" in link}
    assert len(copies) <= 2
    return links.keys() - copies


def test_end_may_be_repeated_and_closes_everything(rootfs: Callable[[str], Path], qemu_dir: Path) -> None:
    before = _open_here()
    guest = Guest.start(spec(rootfs("busybox-armel"), qemu_dir, *shell("while :; do :; done")))
    guest.end()
    guest.end()
    assert guest.run_until_stop().ended
    assert _open_here() == before


def test_a_failed_start_leaves_nothing(rootfs: Callable[[str], Path], qemu_dir: Path) -> None:
    before = _open_here()
    for _ in range(2):
        with pytest.raises(Exception, match="working directory"):
            Guest.start(spec(rootfs("busybox-armel"), qemu_dir, "/bin/busybox", cwd="/nowhere"))
    assert _open_here() == before


_IGNORED = """
import sys
from pathlib import Path
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.supervisor import Guest

root, qemu = sys.argv[1:]
spec = LaunchSpec(
    program="/bin/busybox", argv=["/bin/busybox", "true"], rootfs=Path(root), qemu_dir=Path(qemu)
)
with Guest.start(spec) as guest:
    guest.run_until_stop()
    print(next(line for line in open(f"/proc/{guest.pid}/status") if line.startswith("SigIgn")), end="")
"""


def test_the_guest_ignores_no_signal_that_who_started_us_ignores(
    rootfs: Callable[[str], Path], qemu_dir: Path, tmp_path: Path
) -> None:
    """posix_spawn(3), which make uses, leaves two signals of the C library ignored."""
    out = tmp_path / "out"
    flags = os.O_WRONLY | os.O_CREAT
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", _IGNORED, str(rootfs("busybox-armel")), str(qemu_dir)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(out), flags, 0o600)],
    )
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert out.read_text().split() == ["SigIgn:", "0" * 16]
