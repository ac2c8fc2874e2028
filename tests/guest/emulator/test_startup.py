"""Each thread has a log of its own, as long as there are descriptors for them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import build, root_with
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.guest.spec import ResourceLimits
from triage_tui.guest.supervisor import Guest


@pytest.mark.parametrize("threads", [1000, 1100])
def test_each_of_many_threads_has_a_log(tmp_path: Path, qemu_dir: Path, threads: int) -> None:
    root = root_with(tmp_path, "arm")
    shutil.copy(build("thousands", "arm", f"-DTHREADS={threads}"), root / "bin" / "thousands")
    limits = ResourceLimits(processes=1300)
    patient = TriggerLimits(idle_s=60, time_limit_s=120, loop_repeats=10**9, loop_calls=10**9)
    with Guest.start(spec(root, qemu_dir, "/bin/thousands", limits=limits, triggers=patient)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 4)
        assert guest.problems == []
        made = sum(call.name == "getppid" for call in guest.trace.kept())
        assert made == threads
        # None was opened where the program could see it.
        assert not [name for name in os.listdir(f"/proc/{guest.pid}/root") if name.startswith(".log")]
