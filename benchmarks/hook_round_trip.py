"""What a hooked call costs: the median time of one call as the guest sees it, guest -> Lua -> guest.

Run it with `python -m benchmarks.hook_round_trip [calls] [architecture ...]`. The guest measures each call by
its own clock, so the table holds the whole way: QEMU, the kernel's notification, the supervisor, the rule
host, and back. The first lines are the same calls without a rule, held all the same; the last ones are those
of a guest whose calls are held by ptrace, as where the kernel gives no notifications. Trust the
ratios: the first column of a noisy machine is noisy.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.programs import qemu_name, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.spec import LaunchSpec, TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource
from triage_tui.setup import ensure_qemu

_ROUNDS = 5
_PASS = "function do_syscall() return 0, 0 end"
_ANSWER = "function do_syscall() return 1, 7 end"
_AFTER = "function after_syscall() return 1, 7 end"
_ARGUMENT = "function do_syscall() c_set_arg(4, 1) return 0, 0 end"
_CASES = [
    ("getuid: no rule on it", "getuid", "getuid", None),
    ("getuid: the rule passes", "getuid", "getuid", _PASS),
    ("getuid: the rule answers", "getuid", "getuid", _ANSWER),
    ("getuid: executed, the rule changes the result", "getuid", "getuid", _AFTER),
    ("getuid: the rule changes an argument", "getuid", "getuid", _ARGUMENT),
    ("ioctl served by QEMU: no rule on it", "driver", "ioctl", None),
    ("ioctl served by QEMU: the rule passes", "driver", "ioctl", _PASS),
    ("ioctl served by QEMU: the rule answers", "driver", "ioctl", _ANSWER),
    ("ioctl served by QEMU: the rule changes the result", "driver", "ioctl", _AFTER),
]
"""Title, call of the program, guest syscall, rule."""


def call_us(root: Path, arch: str, call: str, hook: str, rule: str | None, calls: int, carrier: str) -> float:
    """Run the guest once; return its median time of one call in microseconds."""
    model = by_name(qemu_name(arch))
    names = {hook, "getuid32"} if hook == "getuid" else {hook}
    sources = [
        RuleSource(name, name, rule.encode(), None) for name in names if rule and model.syscall_nr(name)
    ]
    access = RuleAccess(model)
    how = LaunchSpec(
        program="/bin/rounds",
        argv=["/bin/rounds", call, str(calls)],
        rootfs=root,
        qemu_dir=ensure_qemu(),
        triggers=TriggerLimits(idle_s=60, time_limit_s=120, loop_span_s=0.000_001),
        carrier=carrier,
    )
    with RuleHost(sources, access) as host, Guest.start(how, host, access=access) as guest:
        guest.run_until_stop()
        if guest.problems:
            raise SystemExit(guest.problems[0])
        return int(guest.output().split()[-1]) / 1000


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    arches = sys.argv[2:] or ["arm", "mipsel", "aarch64"]
    print(f"{'median us of one call':52}" + "".join(f"{arch:>10}" for arch in arches))
    with tempfile.TemporaryDirectory() as directory:
        roots = {arch: root_with(Path(directory, arch), arch, "rounds") for arch in arches}
        for carrier, (title, call, hook, rule) in (
            *(("auto", case) for case in _CASES),
            *(("trace", (f"by ptrace: {case[0]}", case[1], case[2], case[3])) for case in _CASES[:3]),
        ):
            medians = [
                statistics.median(
                    call_us(roots[arch], arch, call, hook, rule, calls, carrier) for _ in range(_ROUNDS)
                )
                for arch in arches
            ]
            print(f"{title:52}" + "".join(f"{value:10.1f}" for value in medians), flush=True)


if __name__ == "__main__":
    main()
