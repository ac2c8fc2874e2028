"""How long it takes from the wish to freeze a guest until none of its threads runs, and until it can be read.

The wish comes at a random moment from another thread, as it does from a person or the app.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from tests.programs import root_with
from triage_tui.guest.freezing import pausing
from triage_tui.guest.spec import LaunchSpec, TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.setup import ensure_program

ROUNDS = 30
_NEVER = TriggerLimits(
    idle_s=600, time_limit_s=600, off=frozenset(("loop", "sleep_loop", "idle")), sleep_patience=100
)


def _cases(rootfs: Path, programs: Path) -> dict[str, LaunchSpec]:
    def shell(script: str) -> LaunchSpec:
        argv = ["/bin/busybox", "sh", "-c", script]
        return LaunchSpec("/bin/busybox", argv, rootfs, triggers=_NEVER)

    def crowd(count: int) -> LaunchSpec:
        return LaunchSpec("/bin/crowd", ["crowd", str(count)], programs, triggers=_NEVER)

    netcat = ["/bin/busybox", "nc", "-l", "-p", "5555"]
    return {
        "in a loop of calls that are observed (umask)": shell("while :; do umask 22; done"),
        "in a loop of calls that are decided on (chdir)": shell("while :; do cd /; done"),
        "blocked in accept": LaunchSpec("/bin/busybox", netcat, rootfs, triggers=_NEVER),
        "asleep": shell("while :; do sleep 1000; done"),
        "computing without any call": shell("while :; do :; done"),
        "ignoring every signal, computing": shell("trap '' 1 2 3 15 19 20; while :; do :; done"),
        "16 computing threads": crowd(16),
        "64 computing threads": crowd(64),
    }


def _measure(spec: LaunchSpec) -> tuple[list[float], list[float]]:
    """Return for each freeze the seconds until all is stopped, and until the guest can be read."""
    stopped_at = 0.0
    stop_all = pausing.stop_all

    def timed(*arguments: object) -> None:
        nonlocal stopped_at
        stop_all(*arguments)  # type: ignore[arg-type]
        stopped_at = time.perf_counter()

    stopped: list[float] = []
    readable: list[float] = []
    pausing.stop_all = timed  # type: ignore[assignment]
    try:
        with Guest.start(spec) as guest:
            for number in range(ROUNDS + 1):
                wanted = threading.Event()
                asked_at = 0.0

                def ask(event: threading.Event = wanted) -> None:
                    nonlocal asked_at
                    asked_at = time.perf_counter()
                    event.set()

                timer = threading.Timer((1 if number == 0 else 0.1) + random.random() * 0.05, ask)
                timer.start()
                stop = guest.run_until_stop(wanted=wanted.is_set)
                end = time.perf_counter()
                timer.cancel()
                if stop.reason != "requested":
                    raise RuntimeError(f"the guest stopped by {stop.reason}: {stop.trigger.detail}")
                if number:
                    stopped.append(stopped_at - asked_at)
                    readable.append(end - asked_at)
    finally:
        pausing.stop_all = stop_all
    return stopped, readable


def _columns(values: Iterable[float]) -> str:
    values = list(values)
    return f"{statistics.median(values) * 1e3:7.1f} ms  {max(values) * 1e3:7.1f} ms"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        cases = _cases(ensure_program("busybox-armhf"), root_with(Path(directory), "arm", "crowd"))
        width = max(map(len, cases))
        print(f"\nFreezing a guest ({ROUNDS} times each): from the wish until ...")
        print(f"  {'':{width}}  {'no thread runs':^22}  {'it can be read':^22}")
        print(f"  {'':{width}}  {'median':>10}  {'worst':>10}  {'median':>10}  {'worst':>10}")
        for name, spec in cases.items():
            stopped, readable = _measure(spec)
            print(f"  {name:{width}}  {_columns(stopped)}  {_columns(readable)}")


if __name__ == "__main__":
    main()
