"""What keeping all memory of a frozen guest costs: seconds and MB/s, hashes and fsync included.

Run it with `python benchmarks/snapshot.py [rounds]`. The measure is a plain copy of the same bytes from one
file to another, with fsync: what the disk costs in any case. The last table is the ordinary small capture,
from the frozen guest to the published run.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Timed, print_table, take_turns, timed
from tests.programs import build
from triage_tui.guest.freezing.stops import Stop
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.guest.record.capture import Scope, capture
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Engine
from triage_tui.runs.writer import RunWriter
from triage_tui.setup import ensure_program, ensure_qemu

SIZES = (64, 512)
_BLOCK = 1 << 20


def _copy(source: Path, work: Path) -> Callable[[], None]:
    """Copy with read and write, as any program would: a file system that shares blocks would copy nothing."""

    def copy() -> None:
        target = work / "copy"
        with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
            while block := reader.read(_BLOCK):
                writer.write(block)
            os.fsync(writer.fileno())
        target.unlink()

    return copy


def _keep(guest: Guest, stop: Stop, runs: Path, scope: Scope) -> Callable[[], None]:
    def keep() -> None:
        writer = RunWriter(runs)
        capture(guest, stop, writer, target=guest.target, engine=Engine(), scope=scope)
        shutil.rmtree(writer.publish())

    return keep


def _frozen(
    launch: LaunchSpec, cases: Callable[[Guest, Stop], dict[str, Timed]], rounds: int
) -> dict[str, list[float]]:
    with Guest.start(launch) as guest:
        stop = guest.run_until_stop()
        return take_turns(cases(guest, stop), rounds)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    qemu = ensure_qemu()
    triggers = TriggerLimits(idle_s=1, time_limit_s=120)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".snapshot-") as place:
        work = Path(place)
        for size in SIZES:
            program = build("memory", "arm", f"-DMEGABYTES={size}")
            source = work / "source"
            with source.open("wb") as file:
                for _ in range(size):
                    file.write(os.urandom(_BLOCK))

            def cases(guest: Guest, stop: Stop, source: Path = source) -> dict[str, Timed]:
                runs = work / "runs"
                return {
                    "plain copy of a file": timed(_copy(source, work)),
                    "snapshot with all memory": timed(_keep(guest, stop, runs, Scope(all_memory=True))),
                    "small snapshot": timed(_keep(guest, stop, runs, Scope())),
                }

            launch = LaunchSpec(program=str(program), argv=["memory"], qemu_dir=qemu, triggers=triggers)
            seconds = _frozen(launch, cases, rounds)
            speed = size / statistics.median(seconds["snapshot with all memory"])
            print_table(f"a guest with {size} MB", seconds, f"snapshot with all memory: {speed:.0f} MB/s")
        root = ensure_program("udhcpc-mipsel")
        argv = ["/bin/busybox", "udhcpc", "-f", "-i", "lan0", "-s", "/bin/true"]
        launch = LaunchSpec(program=argv[0], argv=argv, rootfs=root, qemu_dir=qemu, triggers=triggers)

        def small(guest: Guest, stop: Stop) -> dict[str, Timed]:
            return {"small snapshot of udhcpc": timed(_keep(guest, stop, work / "runs", Scope()))}

        print_table("the ordinary capture", _frozen(launch, small, rounds))


if __name__ == "__main__":
    main()
