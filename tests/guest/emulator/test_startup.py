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


@pytest.mark.parametrize(("threads", "problems"), [(1000, 0), (1100, 1)])
def test_threads_without_a_log_go_on_and_are_told_of(
    tmp_path: Path, qemu_dir: Path, threads: int, problems: int
) -> None:
    root = root_with(tmp_path, "arm")
    shutil.copy(build("thousands", "arm", f"-DTHREADS={threads}"), root / "bin" / "thousands")
    limits = ResourceLimits(processes=1300)
    patient = TriggerLimits(idle_s=60, time_limit_s=120, loop_repeats=10**9, loop_calls=10**9)
    with Guest.start(spec(root, qemu_dir, "/bin/thousands", limits=limits, triggers=patient)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 4)
        assert (
            guest.problems
            == ["more than 1020 threads at a time: the calls of the others are not in the record"] * problems
        )
        made = sum(call.name == "getppid" for call in guest.trace.kept())
        assert made == threads if not problems else 1000 < made < threads
        # None was opened where the program could see it.
        assert not [name for name in os.listdir(f"/proc/{guest.pid}/root") if name.startswith(".log")]
