"""Guests with more threads than there are descriptors for logs: in all, at once, and without room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.guest.emulator import startup
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.guest.spec import ResourceLimits
from triage_tui.guest.supervisor import Guest

ROOT = Path(__file__).resolve().parents[3]
_TRIGGERS = TriggerLimits(off=frozenset(("loop", "idle")), time_limit_s=300)


def opened(guest: Guest) -> int:
    """Return how many of the files that the guest's threads look for were seen in the trace."""
    texts = [
        text for call in guest.full_trace() if call.name in ("open", "openat") for text in call.arguments
    ]
    return len({text for text in texts if "/etc/number" in text})


LEAST = 128
"""As if an emulator had so many descriptors for its logs where the guest may have few threads."""


@pytest.mark.parametrize(
    ("kind", "count", "files", "processes"),
    # In all more threads than that one after the other, and at once where the guest may have so many.
    [
        ("short", 300, 300, 100),
        ("threads", 300, 300, 4000),
        ("forks", 150, 150, 4000),
        ("pairs", 80, 160, 4000),
    ],
)
def test_every_thread_is_observed_and_the_guest_sees_nothing_of_it(
    qemu_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    count: int,
    files: int,
    processes: int,
) -> None:
    monkeypatch.setattr(startup, "LEAST_HEADROOM", LEAST)
    root = root_with(tmp_path, "arm", "swarm")
    limits = ResourceLimits(processes=processes, history=100_000, trace=100_000)
    command = ("/bin/swarm", kind, str(count))
    with Guest.start(spec(root, qemu_dir, *command, limits=limits, triggers=_TRIGGERS)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.exit_code) == ("exit", 6)
        # Its next descriptor is the one that a program of its own has: no log was opened in its place.
        assert guest.output().decode() == f"{kind} {count} next 3\n"
        assert guest.problems == []
        assert opened(guest) == files
        assert sorted(os.listdir(guest.root_path)) == sorted(os.listdir(root))


_WITH_LITTLE_ROOM = """
import json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (750, 750))
from tests.guest.processes.test_many_logs import _TRIGGERS, LEAST, opened
from tests.guest.helpers import spec
from triage_tui.guest import launch
from triage_tui.guest.emulator import startup
from triage_tui.guest.spec import ResourceLimits
from triage_tui.guest.supervisor import Guest
launch.LEAST_HEADROOM = startup.LEAST_HEADROOM = LEAST
limits = ResourceLimits(processes=2000, open_files=64, history=100_000, trace=100_000)
given = spec(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:], limits=limits, triggers=_TRIGGERS)
with Guest.start(given) as guest:
    stop = guest.run_until_stop()
    print(json.dumps([stop.reason, guest.output().decode(), guest.problems, opened(guest)]))
"""


@pytest.mark.parametrize("kind", ["threads", "forks"])
def test_without_room_for_more_logs_the_guest_goes_on_and_it_is_said(
    qemu_dir: Path, tmp_path: Path, kind: str
) -> None:
    root = root_with(tmp_path, "arm", "swarm")
    done = subprocess.run(
        [sys.executable, "-c", _WITH_LITTLE_ROOM, root, qemu_dir, "/bin/swarm", kind, "160"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reason, output, problems, seen = json.loads(done.stdout)
    assert (reason, output) == ("exit", f"{kind} 160 next 3\n")
    (problem,) = problems
    assert "more processes and threads at once than descriptors for their logs" in problem
    # There is room for 119: two descriptors each, and some are left for other things.
    assert 80 < seen < 160


def test_too_low_a_limit_of_this_machine_is_one_sentence(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", "arm", "swarm")
    run = [
        sys.executable,
        "-m",
        "triage_tui",
        "run",
        "-C",
        str(tmp_path),
        "--rootfs",
        str(root),
        "/bin/swarm",
    ]
    limited = ["/bin/sh", "-c", 'ulimit -n 1024 && exec "$@"', "sh", *run]
    done = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "may have 1024 open files at most, and a guest needs 2048" in line
