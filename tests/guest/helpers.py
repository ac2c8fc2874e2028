"""Start real guests in tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triage_tui.guest.host.process import inner_pid
from triage_tui.guest.spec import LaunchSpec, TriggerLimits

QUICK = TriggerLimits(idle_s=0.5, time_limit_s=120, sleep_repeats=2)


def spec(rootfs: Path, qemu_dir: Path, *argv: str, **more: object) -> LaunchSpec:
    """Return the start of `argv` in `rootfs` with limits that suit a test."""
    options: dict[str, object] = {"triggers": QUICK, "qemu_dir": qemu_dir} | more
    return LaunchSpec(program=argv[0], argv=list(argv), rootfs=rootfs, **options)  # type: ignore[arg-type]


def shell(script: str) -> tuple[str, ...]:
    """Return the argument vector of a busybox shell that runs `script`."""
    return ("/bin/busybox", "sh", "-c", script)


def carried(names: str, first: object, *others: object) -> pytest.MarkDecorator:
    """Parametrize a test by `names` (comma between them): its first case with both carriers, others by turns.

    For tests that use the fixture `carrier`, where neither way to hold a call knows of the case.
    """
    cases = [(first, "trace"), (first, "notify")]
    cases += [(other, ("trace", "notify")[number % 2]) for number, other in enumerate(others)]
    rows = [(*(case if isinstance(case, tuple) else (case,)), held_by) for case, held_by in cases]
    return pytest.mark.parametrize((*names.split(","), "carrier"), rows, indirect=["carrier"])


def cell_processes(marker: str) -> list[int]:
    """Return the pids of this machine's processes whose command line holds `marker`, zombies left out."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in words and inner_pid(int(name)) != int(name):
                found.append(int(name))
    return found


def as_ordinary_user(command: list[str]) -> list[str]:
    """Return `command` as a user without rights runs it; to read the tests' files is all that is left."""
    if os.geteuid() != 0:
        return command
    ids = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
    reading = ["--inh-caps", "-all,+dac_read_search", "--ambient-caps", "+dac_read_search"]
    return ["setpriv", *ids, *reading, "--", *command]
