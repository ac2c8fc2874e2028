"""What supervision costs: the same programs under plain QEMU, under its -strace, and supervised."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from benchmarks.measure import Timed, print_table, take_turns, timed
from triage_tui.guest.spec import LaunchSpec, TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.setup import ensure_program, ensure_qemu

_NEVER = TriggerLimits(loop_repeats=10**9, sleep_repeats=10**9, idle_s=600, time_limit_s=600)
_COUNT = "i=0; while [ $i -lt {rounds} ]; do {body} i=$((i+1)); done"

# Each is what busybox is given. Paths are relative: the plain emulator has no root of its own, but starts in
# the same directory that is the supervised program's root.
WORKLOADS = {
    "start and end": ["true"],
    "processor: 50,000 rounds of the shell": ["sh", "-c", _COUNT.format(rounds=50_000, body="")],
    "10,000 calls that are only observed (umask)": [
        "sh",
        "-c",
        _COUNT.format(rounds=10_000, body="umask 22;"),
    ],
    "5,000 calls that are decided on (chdir)": ["sh", "-c", _COUNT.format(rounds=5_000, body="cd .;")],
    "files and directories: ls -lR, 100 times": ["ls", "-lR", *["."] * 100],
    "reading: md5sum of itself, 10 times": ["md5sum", *["bin/busybox"] * 10],
}


def _plain(emulator: Path, rootfs: Path, arguments: list[str], *options: str) -> Timed:
    command = [str(emulator), *options, "bin/busybox", *arguments]
    return timed(lambda: subprocess.run(command, cwd=rootfs, capture_output=True, check=True))


def _supervised(rootfs: Path, arguments: list[str]) -> Timed:
    spec = LaunchSpec("/bin/busybox", ["busybox", *arguments], rootfs, triggers=_NEVER)

    def run() -> None:
        with Guest.start(spec) as guest:
            stop = guest.run_until_stop()
            if stop.reason != "exit" or stop.trigger.exit_code != 0:
                raise RuntimeError(f"the workload stopped by {stop.reason}, code {stop.trigger.exit_code}")

    return timed(run)


def main() -> None:
    """Measure and print."""
    rootfs = ensure_program("busybox-armhf")
    emulator = ensure_qemu() / "qemu-arm-static"
    with tempfile.TemporaryDirectory() as scratch:
        log = str(Path(scratch) / "strace.log")
        for title, arguments in WORKLOADS.items():
            cases = {
                "plain QEMU": _plain(emulator, rootfs, arguments),
                "QEMU -strace to a file": _plain(emulator, rootfs, arguments, "-strace", "-D", log),
                "supervised": _supervised(rootfs, arguments),
            }
            print_table(title, take_turns(cases, 5))


if __name__ == "__main__":
    main()
