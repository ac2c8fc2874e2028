"""What a checkpoint costs by the memory of the guest: taking it, reading and checking it, restoring it.

Run it with `python -m benchmarks.checkpoint [rounds]`. The guests are static programs that have filled so
much memory with numbers that differ from page to page, and busybox. Starting the emulator in its cell costs
the same with and without a checkpoint, and is a column of its own. The figures of the prototype, which had no
cell, no record and no checks, were 42 to 89 ms for taking and 34 to 76 ms for restoring a static program of a
few megabytes.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.programs import build
from triage_tui.guest.checkpoint.fitting import check_fits
from triage_tui.guest.checkpoint.guest_side import GoesOn
from triage_tui.guest.checkpoint.reading import read_checkpoint
from triage_tui.guest.checkpoint.taking import take_checkpoint
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.supervisor import Guest
from triage_tui.setup import ensure_program, ensure_qemu

SIZES = (1, 4, 16, 64, 256)
_COLUMNS = ("guest", "kept MB", "take ms", "check ms", "restore ms", "calls", "start ms")


class _Figures(msgspec.Struct):
    kept: float = 0.0
    calls: int = 0
    take: list[float] = []
    check: list[float] = []
    restore: list[float] = []
    start: list[float] = []


def _measured(launch: LaunchSpec, work: Path, rounds: int) -> _Figures:
    found = _Figures()
    with Guest.start(launch) as guest:
        guest.run_until_stop()
        for _ in range(rounds):
            shutil.rmtree(work / "checkpoint", ignore_errors=True)
            began = time.monotonic()
            facts = take_checkpoint(guest, work / "checkpoint")
            found.take.append((time.monotonic() - began) * 1000)
        found.kept = facts.pages_bytes / 1e6
        target = guest.target
    for _ in range(rounds):
        began = time.monotonic()
        checkpoint = read_checkpoint(work / "checkpoint")
        check_fits(checkpoint, launch, target)
        found.check.append((time.monotonic() - began) * 1000)
        began = time.monotonic()
        with Guest.start(launch, goes_on=GoesOn(work / "checkpoint", checkpoint)) as guest:
            whole = (time.monotonic() - began) * 1000
            found.restore.append(guest.restored_ms)
            found.start.append(whole - guest.restored_ms)
            found.calls = guest.restored_by
    return found


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    qemu = ensure_qemu()
    triggers = TriggerLimits(idle_s=0.5, time_limit_s=120)
    guests = {
        f"arm, {size} MiB": LaunchSpec(
            program=str(build("memory", "arm", f"-DMEGABYTES={size}")),
            qemu_dir=qemu,
            triggers=triggers,
            checkpoint=True,
            seed=1,
        )
        for size in SIZES
    }
    shell = ("/bin/busybox", "sh", "-c", "while read -r line; do echo $line; done")
    for name in ("busybox-armhf", "busybox-mipsel"):
        guests[name] = LaunchSpec(
            program=shell[0],
            argv=list(shell),
            rootfs=ensure_program(name),
            stdin="open",
            qemu_dir=qemu,
            triggers=triggers,
            checkpoint=True,
            seed=1,
        )
    print(f"\ncheckpoints, median of {rounds} (least)")
    print("{:<16}{:>9}{:>14}{:>14}{:>14}{:>7}{:>10}".format(*_COLUMNS))
    for name, launch in guests.items():
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".checkpoint-") as place:
            found = _measured(launch, Path(place), rounds)
        cells = [
            f"{statistics.median(one):.0f} ({min(one):.0f})"
            for one in (found.take, found.check, found.restore)
        ]
        print(
            f"{name:<16}{found.kept:>9.1f}{cells[0]:>14}{cells[1]:>14}{cells[2]:>14}{found.calls:>7}"
            f"{statistics.median(found.start):>10.0f}"
        )
    print("prototype, static: take 42-89 ms, restore 34-76 ms")


if __name__ == "__main__":
    main()
