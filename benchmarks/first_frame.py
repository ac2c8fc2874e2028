"""The app's first painted frame, and its first list of runs, against a bare Textual app."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.bare_app import SHOWN
from benchmarks.measure import Timed, print_table, take_turns
from benchmarks.terminal import Terminal
from tests.runs.build import write_run
from triage_tui.runs.files import write_atomic
from triage_tui.runs.model import Target
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json

_HERE = Path(__file__).resolve().parents[1]
_PROGRAM = "measured"
_FRAME = "Runs"
_EMPTY = "No runs yet"


def _workspace(parent: Path, runs: int) -> Path:
    workspace = parent / f"{runs}-runs"
    (workspace / "ai_runs").mkdir(parents=True)
    target = Target(program=f"/sbin/{_PROGRAM}", argv=[_PROGRAM], arch="mipsel", target_id="measured-1")
    for _ in range(runs):
        run_dir = write_run(workspace / "ai_runs")
        snapshot = msgspec.structs.replace(load_run(run_dir).snapshot, target=target)
        write_atomic(run_dir / "snapshot.json", encode_json(snapshot))
    return workspace


def _until(text: str, *arguments: str) -> Timed:
    def run() -> float:
        with Terminal([sys.executable, "-m", *arguments], _HERE) as terminal:
            return terminal.wait_for(text) - terminal.started

    return run


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        frames = {"bare Textual app": _until(SHOWN, "benchmarks.bare_app")}
        lists = dict(frames)
        for count in (0, 100, 1000):
            arguments = ("triage_tui", "-C", str(_workspace(Path(scratch), count)))
            frames[f"triage-tui, {count} runs"] = _until(_FRAME, *arguments)
            lists[f"triage-tui, {count} runs"] = _until(_PROGRAM if count else _EMPTY, *arguments)
        print_table("First painted frame", take_turns(frames, 5))
        print_table("Runs on screen", take_turns(lists, 5))


if __name__ == "__main__":
    main()
