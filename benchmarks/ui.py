"""The terminal app, a bare Textual app, posting and harlequin: first frames, keys, the event loop, memory.

Everything goes through a real pseudo terminal of 120x40, and the cases take turns. The app starts as a person
starts it, but for the watch over its event loop, which has starts of its own.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import keys
from benchmarks.bare_app import SHOWN
from benchmarks.blocks import Step, measure_blocks
from benchmarks.peer_apps import PEERS, prepare
from benchmarks.terminal import Terminal
from benchmarks.workspaces import make_huge_workspace, make_large_workspace, make_workspace

_HERE = Path(__file__).resolve().parents[1]
_EMPTY = "No runs yet"
_NEWEST = "12:00 "
_BARE = "bare Textual app"
_MIB = 1 << 20
MEMORY_MIB = 70
BLOCK_MS = 50


@dataclass
class Case:
    """An app as it is started, and what its starts showed."""

    name: str
    command: list[str]
    usable: str
    note: str = ""
    frames: list[float] = field(default_factory=list)
    computed: list[float] = field(default_factory=list)
    """Seconds of processor time until the first frame."""
    contents: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    share: list[int] = field(default_factory=list)

    def start(self, environment: dict[str, str]) -> None:
        """Start it once, and wait until it rests."""
        with Terminal(self.command, _HERE, environment=environment) as terminal:
            self.frames.append(terminal.wait_for_frame() - terminal.started)
            self.computed.append(terminal.computed())
            self.contents.append(terminal.wait_for(self.usable) - terminal.started)
            terminal.settle(1.0)
            resident, share = terminal.memory()
        self.resident.append(resident)
        self.share.append(share)

    def forget(self) -> None:
        """Drop what was measured."""
        for values in (self.frames, self.computed, self.contents, self.resident, self.share):
            values.clear()


@dataclass
class Verdict:
    """A figure beside its target."""

    what: str
    found: float
    target: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether it is as was asked for."""
        return self.found <= self.target


def app(workspace: Path) -> list[str]:
    """Return what starts the app."""
    return [sys.executable, "-m", "triage_tui", "ui", "-C", str(workspace)]


@contextmanager
def scratch(given: Path | None) -> Iterator[Path]:
    """Give a directory for workspaces: the one that is named, which stays, or one that goes."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="triage-tui-bench-") as directory:
        yield Path(directory)


def _peers() -> Iterator[Case]:
    for peer in PEERS:
        try:
            yield Case(prepare(peer), peer.command, peer.usable)
        except RuntimeError as error:
            yield Case(peer.name, [], "", note=f"cannot be installed: {error}")


def measure_starts(root: Path, environment: dict[str, str], rounds: int) -> list[Case]:
    """Start all apps in turn, after one turn that does not count."""
    cases = [Case(_BARE, [sys.executable, "-m", "benchmarks.bare_app"], SHOWN)]
    for count in (0, 100, 10_000):
        workspace = make_workspace(root, count)
        cases.append(Case(f"triage-tui, {count:,} runs", app(workspace), _NEWEST if count else _EMPTY))
    cases += _peers()
    for number in range(rounds + 1):
        for case in cases:
            if not case.command:
                continue
            try:
                case.start(environment)
            except RuntimeError as error:
                case.command, case.note = [], f"does not start: {error}"
            if number == 0:
                case.forget()
    return cases


def _print_starts(cases: Sequence[Case], rounds: int) -> None:
    bare = cases[0]
    frame, content = statistics.median(bare.frames), statistics.median(bare.contents)
    resident, share = statistics.median(bare.resident), statistics.median(bare.share)
    computed = statistics.median(bare.computed)
    width = max(len(case.name) for case in cases)
    print(f"\nStart and memory (medians of {rounds}, taking turns; ms and MiB, ratio or more than the first)")
    print(
        f"  {'':{width}}  first frame    ratio  computed    ratio  content    ratio"
        "  resident     more   share     more"
    )
    for case in cases:
        if not case.frames:
            print(f"  {case.name:{width}}  {case.note}")
            continue
        painted, usable = statistics.median(case.frames), statistics.median(case.contents)
        worked = statistics.median(case.computed)
        held, own = statistics.median(case.resident), statistics.median(case.share)
        print(
            f"  {case.name:{width}}  {painted * 1e3:11.0f}  {painted / frame:7.2f}"
            f"  {worked * 1e3:8.0f}  {worked / computed:7.2f}"
            f"  {usable * 1e3:7.0f}  {usable / content:7.2f}"
            f"  {held / _MIB:8.1f}  {(held - resident) / _MIB:7.1f}"
            f"  {own / _MIB:6.1f}  {(own - share) / _MIB:7.1f}"
        )


def _start_verdicts(cases: Sequence[Case]) -> Iterator[Verdict]:
    bare, by_name = cases[0], {case.name: case for case in cases}
    for count, target in ((100, 1.3), (10_000, 1.5)):
        case = by_name[f"triage-tui, {count:,} runs"]
        if not case.frames:
            continue
        frame = statistics.median(case.frames) / statistics.median(bare.frames)
        yield Verdict(f"first frame with {count:,} runs, to bare", frame, target, "x")
    held = by_name["triage-tui, 10,000 runs"].resident
    if held:
        more = (statistics.median(held) - statistics.median(bare.resident)) / _MIB
        yield Verdict("resident memory above bare, 10,000 runs", more, MEMORY_MIB, "MiB")


def _print_keys(measured: dict[str, list[float]]) -> None:
    width = max(map(len, measured))
    print("\nKey to paint (ms)")
    print(f"  {'':{width}}   keys   median     p95    most")
    for name, seconds in measured.items():
        middle, high = statistics.median(seconds) * 1e3, keys.percentile(seconds, 95) * 1e3
        print(f"  {name:{width}}  {len(seconds):5}  {middle:7.1f}  {high:6.1f}  {max(seconds) * 1e3:6.1f}")


def _key_verdicts(measured: dict[str, list[float]]) -> Iterator[Verdict]:
    for name, seconds in measured.items():
        if name.startswith("filter"):
            yield Verdict(f"{name}, median", statistics.median(seconds) * 1e3, 60, "ms")
        else:
            yield Verdict(f"{name}, median", statistics.median(seconds) * 1e3, 8, "ms")
            yield Verdict(f"{name}, p95", keys.percentile(seconds, 95) * 1e3, 20, "ms")


def _print_blocks(steps: Sequence[Step]) -> None:
    width = max(len(step.what) for step in steps)
    print("\nThe event loop was blocked (longest time in ms)")
    print(f"  {'':{width}}   blocked  computed  garbage  in")
    for step in steps:
        worst = step.blocks[0] if step.blocks else None
        if worst is None:
            print(f"  {step.what:{width}}  under 10")
        else:
            times = (worst.seconds, worst.computing, worst.collecting)
            found = "  ".join(f"{seconds * 1e3:8.0f}" for seconds in times)
            print(f"  {step.what:{width}}  {found}  {worst.what[:70]}")


def _print_verdicts(verdicts: Sequence[Verdict]) -> None:
    width = max(len(one.what) for one in verdicts)
    print("\nTargets")
    print(f"  {'':{width}}      found   at most")
    for one in verdicts:
        digits = 2 if one.unit == "x" else 1
        answer = "met" if one.met else "MISSED"
        print(f"  {one.what:{width}}  {one.found:9.{digits}f}  {one.target:8g} {one.unit:4} {answer}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ui", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="starts of each app (7)")
    parser.add_argument("--keys", type=int, default=120, help="keys of each kind (120)")
    parser.add_argument("--workspaces", type=Path, help="keep the workspaces there, and use them again")
    parser.add_argument(
        "--only", choices=("starts", "keys", "loop"), action="append", help="measure only this"
    )
    given = parser.parse_args()
    # As an installer does; the interpreter would compile them at each start where it may not write them down.
    for package in ("triage_tui", "benchmarks"):
        compileall.compile_dir(_HERE / package, quiet=1)
    wanted = given.only or ["starts", "keys", "loop"]
    verdicts: list[Verdict] = []
    with scratch(given.workspaces) as root, tempfile.TemporaryDirectory() as home:
        # Nothing that a person has set holds here, and nothing is left behind.
        environment = {
            name: f"{home}/{name}" for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
        }
        environment |= {
            "HOME": home,
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", f"{Path.home()}/.cache"),
        }
        if "starts" in wanted:
            cases = measure_starts(root, environment, given.rounds)
            _print_starts(cases, given.rounds)
            verdicts += _start_verdicts(cases)
        many, large = make_workspace(root, 10_000), make_large_workspace(root)
        if "keys" in wanted:
            measured = keys.measure_keys(app(many), app(large), environment, given.keys)
            peers = {case.name: case.command for case in _peers() if case.command}
            _print_keys(measured | keys.measure_peer_keys(peers, environment, given.keys))
            verdicts += _key_verdicts(measured)
        if "loop" in wanted:
            workspaces = {"many": many, "large": large, "huge": make_huge_workspace(root)}
            steps = measure_blocks(workspaces, environment, Path(home))
            _print_blocks(steps)
            longest = max((step.blocks[0].seconds * 1e3 for step in steps if step.blocks), default=0.0)
            verdicts.append(Verdict("event loop blocked, longest", longest, BLOCK_MS, "ms"))
        _print_verdicts(verdicts)


if __name__ == "__main__":
    main()
