"""What supervision costs: the same programs under plain QEMU, under its -strace, and supervised.

The supervised cases count from the guest's first instruction to its held exit; what starting and ending a
guest costs is a row of its own. `QEMU -strace` writes to a memory file, as the supervised emulator does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import Timed, print_table, take_turns, timed
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.spec import LaunchSpec, TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource
from triage_tui.setup import ensure_program, ensure_qemu

_NEVER = TriggerLimits(loop_repeats=10**9, sleep_repeats=10**9, idle_s=600, time_limit_s=600)
# The C library must not look for a time zone in the host's root in one case and in the bare root in another.
_ENV = {"PATH": "/bin", "TZ": "UTC0"}
_COUNT = "i=0; while [ $i -lt {rounds} ]; do {body} i=$((i+1)); done"

# Each is what busybox is given. Paths are relative: the plain emulator has no root of its own, but starts in
# the same directory that is the supervised program's root.
WORKLOADS = {
    "processor: sha512sum of itself, 40 times": ["sha512sum", *["bin/busybox"] * 40],
    "processor: 100,000 rounds of the shell": ["sh", "-c", _COUNT.format(rounds=100_000, body="")],
    "calls: dd of 2.5 MB in 16-byte blocks": ["dd", "if=bin/busybox", "of=copy", "bs=16"],
    "calls: ls -lR, 1,000 times": ["ls", "-lR", *["."] * 1000],
    "calls: 50,000 times umask in the shell": ["sh", "-c", _COUNT.format(rounds=50_000, body="umask 22;")],
    "calls that rules may hook: 10,000 times chdir": [
        "sh",
        "-c",
        _COUNT.format(rounds=10_000, body="cd .;"),
    ],
    "reading: md5sum of itself, 100 times": ["md5sum", *["bin/busybox"] * 100],
}

WITH_RULES = ("processor: 100,000 rounds of the shell", "calls: ls -lR, 1,000 times")

_RULE = b"""
function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  return 0, 0
end
"""
# Calls that the workloads make rarely or never, one rule each.
_HOOKED = str.split(
    "ioctl socket connect bind listen accept setsockopt getsockopt mkdir rmdir unlink rename symlink link "
    "chmod chown mknod sethostname reboot uname"
)


def rules(count: int) -> list[RuleSource]:
    """Return `count` rules that pass every call on, each for a call of its own."""
    return [RuleSource(f"rule{index}", _HOOKED[index], _RULE) for index in range(count)]


def plain(emulator: Path, rootfs: Path, arguments: Sequence[str]) -> Timed:
    """Run under the emulator alone."""
    command = [str(emulator), "bin/busybox", *arguments]
    return timed(lambda: subprocess.run(command, cwd=rootfs, capture_output=True, check=True, env=_ENV))


def straced(emulator: Path, rootfs: Path, arguments: Sequence[str], program: str = "bin/busybox") -> Timed:
    """Run under the emulator with its call log going to memory."""

    def work() -> None:
        log = os.memfd_create("log")
        try:
            path = f"/proc/self/fd/{log}"
            command = [str(emulator), "-d", "strace,unimp", "-D", path, program, *arguments]
            subprocess.run(command, cwd=rootfs, capture_output=True, check=True, env=_ENV, pass_fds=(log,))
        finally:
            os.close(log)

    return timed(work)


def supervised(rootfs: Path, arguments: Sequence[str], rule_count: int = 0, **options: object) -> Timed:
    """Run supervised; the time from the first instruction to the exit."""
    spec = LaunchSpec(
        "/bin/busybox",
        ["busybox", *arguments],
        rootfs,
        env=_ENV,
        triggers=_NEVER,
        **options,  # type: ignore[arg-type]
    )

    def run() -> float:
        access = RuleAccess(by_name("arm"))
        host = RuleHost(rules(rule_count), access) if rule_count else None
        try:
            with Guest.start(spec, host, access=access) as guest:
                begin = time.perf_counter()
                stop = guest.run_until_stop()
                seconds = time.perf_counter() - begin
                if stop.reason != "exit" or stop.trigger.exit_code != 0:
                    raise RuntimeError(
                        f"the workload stopped by {stop.reason}, code {stop.trigger.exit_code}"
                    )
                return seconds
        finally:
            if host is not None:
                host.close()

    return run


def _whole(rootfs: Path) -> Callable[[], None]:
    spec = LaunchSpec("/bin/busybox", ["busybox", "true"], rootfs, triggers=_NEVER)

    def run() -> None:
        with Guest.start(spec) as guest:
            guest.run_until_stop()

    return run


def main() -> None:
    """Measure and print."""
    emulator = ensure_qemu() / "qemu-arm-static"
    with tempfile.TemporaryDirectory() as scratch:
        rootfs = Path(scratch) / "root"
        shutil.copytree(ensure_program("busybox-armhf"), rootfs, symlinks=True)
        _measure(emulator, rootfs)


def _measure(emulator: Path, rootfs: Path) -> None:
    start = {
        "plain QEMU": plain(emulator, rootfs, ["true"]),
        "supervised": timed(_whole(rootfs)),
    }
    print_table("start and end of a guest", take_turns(start, 5))
    for title, arguments in WORKLOADS.items():
        cases = {
            "plain QEMU": plain(emulator, rootfs, arguments),
            "QEMU -strace": straced(emulator, rootfs, arguments),
            "observed fully": supervised(rootfs, arguments),
            "watched calls only": supervised(rootfs, arguments, observe="watched"),
        }
        print_table(title, take_turns(cases, 5))
    for title in WITH_RULES:
        for observe in ("full", "watched"):
            rows = {
                f"{count} rules": supervised(rootfs, WORKLOADS[title], count, observe=observe)
                for count in (0, 1, 5, 20)
            }
            print_table(f"{title}; rules that are hit rarely, observe {observe}", take_turns(rows, 5))


if __name__ == "__main__":
    main()
