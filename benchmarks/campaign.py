"""Campaigns: throughput against single runs, what is lost when parts are killed, and what the engine costs.

`python -m benchmarks.campaign` plays 500 real targets, each in a root of its own, with two workers: by the
workers of the command itself; by these once more, while one is killed, and then the command with its
scheduler; and by a Dask scheduler and workers that share nothing with it but a port, while one worker and
the scheduler are killed. Single runs of each program are measured before, between and after, in the same
noise. Then 10,000 targets that are refused at once show what the engine itself costs. `--targets` and
`--trivial` scale it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.campaign_targets import programs, repeated, trivial
from triage_tui.campaign.beginning import begin
from triage_tui.campaign.model import Options, Target
from triage_tui.campaign.record import read_campaign
from triage_tui.guest.host.process import descendants
from triage_tui.retry.workspace import Workspace

_ROUNDS = 6
_TIME_LIMIT_S = 10.0
_PYTHON = [sys.executable, "-m", "triage_tui"]


class Campaign(NamedTuple):
    """What one campaign came to."""

    seconds: float
    starts: int
    killed: list[str]
    finished: int
    again: int
    """Times that a target was given out once more, to another worker where these are a lab's."""
    missing: int
    """Runs that were told of and are not there, and those that are there and of which nothing is told."""
    whole: bool
    """The audit log is whole."""
    left: int
    """Processes of it that are left."""
    peak_mib: float
    """Of the command, with its workers where they are its own; without what plays targets."""


def single(target: Target, place: Path) -> float:
    """Play one target by `triage-tui run` and return the seconds that it took."""
    command = [*_PYTHON, "run", "-C", str(place / "singles"), "--policy", "auto", "--rounds", str(_ROUNDS)]
    command += ["--time-limit", f"{_TIME_LIMIT_S:g}", "--json", "--rootfs", target.root, "--cwd", target.cwd]
    command += ["--user", str(target.user)]
    for name, value in target.env.items():
        command += ["--env", f"{name}={value}"]
    for name in target.interfaces:
        command += ["--interface", name]
    command += [f"--qemu-arg={word}" for word in target.qemu_args]
    began = time.monotonic()
    subprocess.run(
        [*command, target.program, *target.argv[1:]],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    # A rule that is active already would make the next one another run.
    subprocess.run(["rm", "-rf", str(place / "singles")], check=True)
    return time.monotonic() - began


class _Lab:
    """A scheduler and two workers that share nothing with the campaign but a port."""

    def __init__(self, place: Path, marker: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._place = place
        self._environment = {**os.environ, "TRIAGE_TUI_ROOTS": str(place / "store"), "BENCHMARK": marker}
        self.scheduler = self._scheduler()
        self.workers = [self._worker(number) for number in range(2)]

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"]
        return subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _scheduler(self) -> subprocess.Popen[bytes]:
        return self._start("scheduler", "--port", str(self.port))

    def _worker(self, number: int) -> subprocess.Popen[bytes]:
        where = ["--local-directory", str(self._place / f"worker-{number}")]
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", *where)

    def kill_worker(self) -> None:
        """Kill one worker; another one comes, as a batch system would have it."""
        self.workers[0].kill()
        self.workers[0].wait()
        self.workers[0] = self._worker(len(self.workers))

    def kill_scheduler(self) -> None:
        """Kill the scheduler, whose workers end then, and start all of them anew."""
        self.scheduler.kill()
        self.scheduler.wait()
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.scheduler = self._scheduler()
        self.workers = [self._worker(number) for number in range(2)]

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def campaign(place: Path, targets: Sequence[Target], *, lab: bool, kills: bool) -> Campaign:
    """Play targets with two workers, and kill some of what plays them on the way."""
    workspace = Workspace(place / "workspace")
    directory = begin(workspace, targets, Options(), ["benchmark"])
    marker = f"{os.getpid()}-{time.monotonic_ns()}"
    cluster = _Lab(place, marker) if lab else None
    command = [*_PYTHON, "campaign", "-C", str(workspace.root), "--resume", "last", "--json"]
    command += ["--scheduler", cluster.address] if cluster is not None else ["--workers", "2"]
    environment = {**os.environ, "BENCHMARK": marker}
    plan = [len(targets) // 4, len(targets) // 2] if kills else []
    killed: list[str] = []
    starts, peak, done = 0, 0.0, 0
    attempts: list[tuple[str, str]] = []
    began = time.monotonic()
    while True:
        starts += 1
        again = False
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            done += told.get("event") in ("finished", "refused", "lost")
            if told.get("event") == "started":
                attempts.append((told["target"], told["worker"]))
            if not plan or done < plan[0]:
                continue
            del plan[0]
            if cluster is not None and plan:
                cluster.kill_worker()
                killed.append("a worker")
            elif cluster is not None:
                cluster.kill_scheduler()
                killed.append("the scheduler with its workers")
            elif plan:
                os.kill(descendants(process.pid)[0], signal.SIGKILL)
                killed.append("a worker's process")
            else:
                process.kill()
                killed.append("the command with its scheduler")
                again = True
        _, _, usage = os.wait4(process.pid, 0)
        peak = max(peak, usage.ru_maxrss / 1024)
        if not again:
            break
    seconds = time.monotonic() - began
    if cluster is not None:
        cluster.end()
    # A worker elsewhere starts a target again once it has its root.
    given = len(set(attempts)) if lab else len(attempts)
    return _looked_at(workspace, directory, targets, seconds, starts, killed, given, peak, marker)


def _looked_at(
    workspace: Workspace,
    directory: Path,
    targets: Sequence[Target],
    seconds: float,
    starts: int,
    killed: list[str],
    attempts: int,
    peak: float,
    marker: str,
) -> Campaign:
    state = read_campaign(directory)
    outcomes = [outcome for one in targets if (outcome := state.outcome(one.target)) is not None]
    told = [run for outcome in outcomes for run in outcome.runs]
    there = {path.name for path in workspace.runs_dir.glob("2*")} if workspace.runs_dir.is_dir() else set()
    verified = subprocess.run(
        [*_PYTHON, "audit", "-C", str(workspace.root), "verify"], capture_output=True, check=False
    )
    time.sleep(1)
    left = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            left += f"BENCHMARK={marker}".encode() in path.read_bytes()
        except OSError:
            continue
    return Campaign(
        seconds=seconds,
        starts=starts,
        killed=killed,
        finished=len(outcomes),
        again=max(0, attempts - len(targets)),
        missing=len(set(told) ^ there) + len(told) - len(set(told)),
        whole=verified.returncode == 0,
        left=left,
        peak_mib=peak,
    )


def _throughput(place: Path, arguments: argparse.Namespace) -> None:
    known = programs(place, arguments.corpus)[: arguments.targets]
    targets = repeated(place, known, arguments.targets)
    ways = [
        ("own workers", False, False),
        ("own workers, killed", False, True),
        ("a lab's, killed", True, True),
    ]
    if arguments.only:
        ways = [way for way in ways if arguments.only in way[0]]
    singles: dict[str, list[float]] = {one.name: [] for one in known}
    found: list[tuple[str, Campaign]] = []
    for name, lab, kills in ways:
        # In turns with the campaigns, so that the same noise hits both.
        for one in known:
            singles[one.name].append(single(one, place))
        found.append((name, campaign(place / name.replace(" ", "-"), targets, lab=lab, kills=kills)))
        _print_row(name, found[-1][1], arguments.targets, None)
    for one in known:
        singles[one.name].append(single(one, place))
    each = {name: statistics.median(seconds) for name, seconds in singles.items()}
    in_all = sum(each[one.group] for one in targets)
    print(
        f"\n{arguments.targets} targets of {len(known)} programs, two workers; load {os.getloadavg()[0]:.1f}"
    )
    print(f"  single runs one after the other (median of {len(found) + 1} each): {in_all:.0f} s in all")
    for name, came in found:
        _print_row(name, came, arguments.targets, in_all)


def _print_row(name: str, one: Campaign, targets: int, in_all: float | None) -> None:
    ratio = f", {in_all / one.seconds:.2f} times as fast as single runs" if in_all else ""
    print(f"  {name}: {one.seconds:.0f} s, {targets / one.seconds * 60:.1f} targets a minute{ratio}")
    print(
        f"    killed: {', '.join(one.killed) or 'nothing'}; {one.starts} starts, {one.again} played again;"
        f" {one.finished} of {targets} finished, {one.missing} runs lost or doubled, audit log"
        f" {'whole' if one.whole else 'DAMAGED'}, {one.left} processes left; peak {one.peak_mib:.0f} MiB",
        flush=True,
    )


def _engine(place: Path, count: int) -> None:
    targets = trivial(place, count)
    one = campaign(place / "trivial-campaign", targets, lab=False, kills=False)
    print(f"\n{count} trivial targets, two workers; load {os.getloadavg()[0]:.1f}")
    print(
        f"  {one.seconds:.1f} s, {one.seconds / count * 1e3:.1f} ms a target (a directory, a fork, a refusal,"
        f" a line on the disk); peak of the command {one.peak_mib:.0f} MiB"
    )
    began = time.monotonic()
    state = read_campaign(next((place / "trivial-campaign" / "workspace" / "campaigns").glob("2*")))
    print(f"  read again: {(time.monotonic() - began) * 1e3:.0f} ms for {len(state.last)} targets")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=500, metavar="N", help="real targets (default 500)")
    parser.add_argument("--trivial", type=int, default=10_000, metavar="N", help="trivial ones (10000)")
    parser.add_argument("--only", default="", metavar="WAY", help="own workers, killed, or a lab's")
    parser.add_argument(
        "--corpus",
        type=Path,
        nargs="+",
        default=[],
        metavar="YAML",
        help="labelled failures to play",
    )
    parser.add_argument("--place", type=Path, metavar="DIR", help="where to work")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=arguments.place) as place:
        if arguments.targets:
            _throughput(Path(place), arguments)
        if arguments.trivial:
            _engine(Path(place), arguments.trivial)


if __name__ == "__main__":
    main()
