"""What a call costs here and under Qiling: the same programs, many calls against few.

Qiling is no dependency and never imported: it has a licence of its own (GPL-2) and runs in an interpreter of
its own, the one of the environment variable TRIAGE_TUI_QILING_PYTHON or of `environment()`. Its case is the
best that it has: nothing is logged, it keeps no statistics, and the time is that of `Qiling.run` alone. The
hook is called when a call returns, as `ql.os.set_syscall(..., QL_INTERCEPT.EXIT)` offers, and keeps number,
arguments, result and time, decoding nothing.

A program's start is not in the figures: each is the difference of two runs of the same program by the
difference of the numbers of their calls. What the program computes between its calls is in all of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Timed, print_table, take_turns, timed
from benchmarks.supervision import straced
from tests.programs import root_with
from triage_tui.guest.spec import LaunchSpec, TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.resources import cache_dir
from triage_tui.setup import ensure_program, ensure_qemu

VARIABLE = "TRIAGE_TUI_QILING_PYTHON"
_ROUNDS = 5
_LIMIT_S = 120
_NEVER = TriggerLimits(loop_repeats=10**9, sleep_repeats=10**9, idle_s=600, time_limit_s=600)
_ENV = {"PATH": "/bin", "TZ": "UTC0"}
_COUNT = "i=0; while [ $i -lt {rounds} ]; do {body} i=$((i+1)); done"

# Arguments: where the result goes, "hook" or "bare", the root, the program in it, its further arguments.
# Numbers of calls begin at 0, for MIPS at 4000 (o32); ARM has a few of its own at 0xf0000.
SCRIPT = f"""
import collections, functools, importlib.metadata, json, sys, time
from qiling import Qiling
from qiling.const import QL_INTERCEPT, QL_VERBOSE
from qiling.os.stats import QlOsNullStats

result, mode, root, program, *arguments = sys.argv[1:]
begin = time.perf_counter()
ql = Qiling([f"{{root}}/{{program}}", *arguments], root, env={_ENV!r}, verbose=QL_VERBOSE.DISABLED)
ql.os.stats = QlOsNullStats()
calls, seen = 0, collections.deque(maxlen=10000)

def note(number, ql, *words):
    global calls
    calls += 1
    seen.append((number, words, time.monotonic_ns()))

if mode == "hook":
    for number in (*range(1000), *range(4000, 5000), *range(0xF0000, 0xF0010)):
        ql.os.set_syscall(number, functools.partial(note, number), QL_INTERCEPT.EXIT)
ready = time.perf_counter()
ql.run()
end = time.perf_counter()
versions = [f"{{name}} {{importlib.metadata.version(name)}}" for name in ("qiling", "unicorn")]
answer = dict(start_s=ready - begin, run_s=end - ready, calls=calls, exit_code=ql.os.exit_code)
with open(result, "w") as file:
    json.dump(answer | dict(versions=", ".join(versions)), file)
"""


class CannotRun(Exception):
    """Qiling did not run the program to its end; the text is the reason in one line."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the script tells of one run."""

    start_s: float
    run_s: float
    calls: int
    """How many calls the hook saw; 0 without a hook."""
    versions: str


@dataclass(frozen=True, slots=True)
class Workload:
    """A program that makes as many calls as it is told."""

    title: str
    arch: str
    """The emulator's name."""
    root: str
    """A program of triage_tui/setup/programs.toml, or "c" for one of tests/programs."""
    command: Callable[[int], list[str]]
    """Gives program and arguments for a number of rounds, paths being relative to the root."""
    rounds: int
    """With these the whole run makes at most 50,000 calls, of which a record keeps each."""


def _dd(rounds: int) -> list[str]:
    return ["bin/busybox", "dd", "if=bin/busybox", "of=copy", "bs=16", f"count={rounds}"]


def _umask(rounds: int) -> list[str]:
    return ["bin/busybox", "sh", "-c", _COUNT.format(rounds=rounds, body="umask 22;")]


def _chdir(rounds: int) -> list[str]:
    return ["bin/busybox", "sh", "-c", _COUNT.format(rounds=rounds, body="cd .;")]


def _list(rounds: int) -> list[str]:
    return ["bin/busybox", "ls", "-l", *["."] * rounds]


def _getuid(rounds: int) -> list[str]:
    return ["bin/rounds", "getuid", str(rounds)]


WORKLOADS = (
    Workload("ARM A32, busybox dd", "arm", "busybox-armel", _dd, 15_000),
    Workload("ARM Thumb-2, busybox dd", "arm", "busybox-armhf", _dd, 15_000),
    Workload("ARM Thumb-2, umask in the shell", "arm", "busybox-armhf", _umask, 10_000),
    Workload("ARM Thumb-2, chdir (held) in the shell", "arm", "busybox-armhf", _chdir, 3000),
    Workload("mipsel, busybox dd", "mipsel", "busybox-mipsel", _dd, 15_000),
    Workload("mipsel, umask in the shell", "mipsel", "busybox-mipsel", _umask, 10_000),
    Workload("x86_64, clock and getuid (held) in C", "x86_64", "c", _getuid, 10_000),
    Workload("riscv64, clock and getuid (held) in C", "riscv64", "c", _getuid, 10_000),
    Workload("ARM Thumb-2, busybox ls -l", "arm", "busybox-armhf", _list, 800),
    Workload("aarch64, busybox dd", "aarch64", "busybox-arm64", _dd, 15_000),
    Workload("armeb, clock and getuid (held) in C", "armeb", "c", _getuid, 10_000),
    Workload("mips64el, clock and getuid (held) in C", "mips64el", "c", _getuid, 10_000),
)
_FEW = 100
CASES = {
    "bare": "Qiling",
    "hook": "Qiling, hook",
    "strace": "QEMU -strace",
    "full": "supervised",
    "decoded": "and decoded",
    "watched": "watched only",
}
RATIOS = (("bare", "full"), ("hook", "decoded"), ("bare", "watched"))
_LESS = 4
"""Qiling is given so many times fewer rounds, since it takes so much longer; its cost grows evenly."""


def environment() -> Path:
    """Return the directory of the virtual environment that is looked for when the variable is not set."""
    return cache_dir() / "qiling"


def find_interpreter() -> Path | str:
    """Return the interpreter that has Qiling, or a sentence that says why there is none and what mends it."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else environment() / "bin" / "python"
    try:
        command = [str(path), "-I", "-c", "import qiling"]
        has_it = subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        has_it = False
    if has_it:
        return path
    where = path.parent.parent
    return (
        f"Qiling is not installed for {path}, and is not compared with; "
        f"to install it: python3 -m venv {where} && {where}/bin/pip install qiling"
    )


def reason_of(stderr: str) -> str:
    """Return the last line of what Qiling wrote when it failed, without colours."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", stderr).splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it ended without a word"


def parse_answer(text: str, stderr: str = "") -> Answer:
    """Read the result that the script left.

    Raises:
        CannotRun: there is none, or the program did not end with code 0.
    """
    if not text:
        raise CannotRun(reason_of(stderr))
    told = json.loads(text)
    if told["exit_code"] != 0:
        raise CannotRun(f"the program ends with code {told['exit_code']}: {reason_of(stderr)}")
    return Answer(told["start_s"], told["run_s"], told["calls"], told["versions"])


def run_qiling(interpreter: Path, rootfs: Path, command: list[str], mode: str) -> Answer:
    """Run `command` under Qiling, with the hook if `mode` is "hook" and without if it is "bare".

    Raises:
        CannotRun: it cannot.
    """
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result"
        words = [str(interpreter), "-I", "-c", SCRIPT, str(result), mode, str(rootfs), *command]
        try:
            ended = subprocess.run(
                words,
                cwd=scratch,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CannotRun(f"it did not end within {_LIMIT_S} s") from None
        return parse_answer(result.read_text() if result.is_file() else "", ended.stderr)


def run_supervised(rootfs: Path, command: list[str], how: str) -> tuple[float, int]:
    """Run `command` supervised; return the seconds to its held exit and the number of calls that were seen.

    `how` is "full" or "watched", what to observe, or "decoded": full, and the time goes on until each call
    is a record.
    """
    spec = LaunchSpec(
        program=f"/{command[0]}",
        argv=[Path(command[0]).name, *command[1:]],
        rootfs=rootfs,
        env=_ENV,
        triggers=_NEVER,
        observe="watched" if how == "watched" else "full",
    )
    with Guest.start(spec) as guest:
        begin = time.perf_counter()
        stop = guest.run_until_stop()
        if how == "decoded":
            guest.full_trace()
        seconds = time.perf_counter() - begin
        if stop.reason != "exit" or stop.trigger.exit_code != 0:
            raise RuntimeError(f"the workload stopped by {stop.reason}, code {stop.trigger.exit_code}")
        if guest.calls_left_out():
            raise RuntimeError("the workload makes more calls than a record keeps")
        return seconds, guest.statistics().syscalls


def per_call(few: list[float], many: list[float], calls: int) -> float:
    """Return the microseconds of one call: the slope between runs with few and with `calls` more calls."""
    return (statistics.median(many) - statistics.median(few)) * 1e6 / calls


@dataclass(frozen=True, slots=True)
class Costs:
    """What one workload showed."""

    us: dict[str, float]
    """Case -> microseconds per call."""
    calls: int
    """The calls of the longest run under our supervision."""
    agree: bool
    """Whether as many calls per round were seen under Qiling as here."""


def _measure(interpreter: Path, rootfs: Path, workload: Workload) -> Costs:
    emulator = ensure_qemu() / f"qemu-{workload.arch}-static"
    counts: dict[tuple[str, int], int] = {}

    def case(name: str, rounds: int) -> Timed:
        command = workload.command(rounds)

        def run() -> float:
            if name in ("bare", "hook"):
                answer = run_qiling(interpreter, rootfs, command, name)
                counts[name, rounds] = answer.calls
                return answer.run_s
            seconds, counts[name, rounds] = run_supervised(rootfs, command, name)
            return seconds

        if name == "strace":
            return straced(emulator, rootfs, command[1:], command[0])
        return run

    run_qiling(interpreter, rootfs, workload.command(_FEW), "hook")
    longest = {name: workload.rounds // (_LESS if name in ("bare", "hook") else 1) for name in CASES}
    cases: dict[str, Timed] = {}
    for name, most in longest.items():
        cases |= {f"{name} {rounds}": case(name, rounds) for rounds in (_FEW, most)}
    seconds = take_turns(cases, _ROUNDS)
    # Where nobody counts, the calls are those of the same program in the case that does.
    counted = {"bare": "hook", "hook": "hook"}
    us = {}
    for name, most in longest.items():
        by = counted.get(name, "full")
        calls = counts[by, most] - counts[by, _FEW]
        us[name] = per_call(seconds[f"{name} {_FEW}"], seconds[f"{name} {most}"], calls)
    theirs = (counts["hook", longest["hook"]] - counts["hook", _FEW]) / (longest["hook"] - _FEW)
    ours = (counts["full", workload.rounds] - counts["full", _FEW]) / (workload.rounds - _FEW)
    return Costs(us, counts["full", workload.rounds], abs(theirs - ours) < ours / 50)


def _root(workload: Workload, directory: Path) -> Path:
    """Make a copy of the workload's root that may be written to."""
    if workload.root == "c":
        return root_with(directory, workload.arch, "rounds")
    shutil.copytree(ensure_program(workload.root), directory, symlinks=True)
    return directory


def _start_up(interpreter: Path, rootfs: Path) -> None:
    command = ["bin/busybox", "true"]

    def theirs() -> float:
        answer = run_qiling(interpreter, rootfs, command, "bare")
        return answer.start_s + answer.run_s

    rows = {"Qiling": theirs, "supervised": timed(lambda: run_supervised(rootfs, command, "full"))}
    print_table("start and end of busybox true, imports left out", take_turns(rows, _ROUNDS))


def _print_row(title: str, costs: Costs) -> None:
    cells = [f"{costs.us[name]:{len(head)}.1f}" for name, head in CASES.items()]
    cells += [f"{costs.us[theirs] / costs.us[ours]:5.1f}" for theirs, ours in RATIOS]
    note = "" if costs.agree else "  (under Qiling it makes other calls)"
    print(f"  {title}  {costs.calls:6}  {'  '.join(cells)}{note}", flush=True)


def main() -> None:
    """Measure and print."""
    interpreter = find_interpreter()
    if isinstance(interpreter, str):
        print(f"\n{interpreter}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        roots = [_root(workload, Path(scratch) / str(n)) for n, workload in enumerate(WORKLOADS)]
        versions = run_qiling(interpreter, roots[0], ["bin/busybox", "true"], "bare").versions
        print(f"\nmicroseconds per call (medians of {_ROUNDS}, taking turns; {versions})")
        for letter, (theirs, ours) in zip("ABC", RATIOS, strict=True):
            print(f"  {letter}: {CASES[theirs]} / {CASES[ours]}")
        width = max(len(workload.title) for workload in WORKLOADS)
        heads = "  ".join([*CASES.values(), "    A", "    B", "    C"])
        print(f"  {'':{width}}  {'calls':>6}  {heads}")
        for workload, rootfs in zip(WORKLOADS, roots, strict=True):
            title = f"{workload.title:{width}}"
            try:
                costs = _measure(interpreter, rootfs, workload)
            except CannotRun as reason:
                print(f"  {title}  Qiling cannot run it: {reason}", flush=True)
            else:
                _print_row(title, costs)
        _start_up(interpreter, roots[0])


if __name__ == "__main__":
    main()
