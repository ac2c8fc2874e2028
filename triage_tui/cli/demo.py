"""`triage-tui demo`: fetch real foreign programs, let them fail, and play all rounds on them.

In a terminal the programs run under supervision in the background and the app opens on them; without one
the same is told as text with the automatic policy, and ends with a table and an exit code.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from triage_tui.cli.output import best_cause, cause_in_words, print_table, say
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir, recorded_runs
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.background import spawn_detached
from triage_tui.retry.rounds.course import Course
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.rounds.policy import Limits
from triage_tui.retry.start import Start, read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.listing import list_runs
from triage_tui.runs.verdict_figures import rung_in_words
from triage_tui.setup import DemoProgram, demo_programs, ensure_qemu
from triage_tui.setup.programs import ensure_programs

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--text", action="store_true", help="tell it as text even in a terminal")
    parser.add_argument(
        "--recorded", action="store_true", help="use the recorded runs that ship with the product"
    )


def run(args: argparse.Namespace) -> int:
    """Play the demo."""
    workspace = Workspace.at(args.workspace or _fresh_directory(), made=True)
    workspace.root.mkdir(parents=True, exist_ok=True)
    say(f"runs and rules of this demo are kept in {workspace.root}")
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not args.text
    starts: list[tuple[DemoProgram, Start]] = []
    if not args.recorded:
        try:
            starts = _prepare()
        except TriageError as error:
            say(f"{error}")
            say("so the demo falls back to runs that were recorded earlier and ship with the product")
    if not starts:
        return _play_recorded(workspace, interactive)
    return _play_in_app(workspace, starts) if interactive else _play_as_text(workspace, starts)


def _fresh_directory() -> Path:
    return cache_dir() / "demo" / time.strftime("%Y%m%d-%H%M%S")


def _prepare() -> list[tuple[DemoProgram, Start]]:
    """Fetch QEMU and the programs; each prints its progress."""
    ensure_qemu(say)
    programs = demo_programs()
    roots = ensure_programs([program.name for program in programs], say)
    starts = []
    for program in programs:
        argv = list(program.argv)
        root = str(roots[program.name])
        starts.append((program, Start(program=argv[0], argv=argv, rootfs=root, env=dict(ENVIRONMENT))))
    return starts


def _play_in_app(workspace: Workspace, starts: list[tuple[DemoProgram, Start]]) -> int:
    from triage_tui.cli.ui import open_app

    holders: list[subprocess.Popen[bytes]] = []
    try:
        for program, start in starts:
            say(f"starting {' '.join(start.argv)}: {program.why}")
            command = [sys.executable, "-m", "triage_tui", "run", "-C", str(workspace.root)]
            command += ["--rootfs", str(start.rootfs), start.program, *start.argv[1:]]
            log = workspace.root / "logs" / f"{program.name}.log"
            holders.append(spawn_detached(command, log, end_with_us=True))
        return open_app(workspace, guests_end=True)
    finally:
        if any(holder.poll() is None for holder in holders):
            say("ending the guests of the demo")
        _end(holders)


def _end(holders: list[subprocess.Popen[bytes]]) -> None:
    """End the supervisors in good order, and hard if they do not."""
    for holder in holders:
        with suppress(ProcessLookupError):
            holder.send_signal(signal.SIGTERM)
    for holder in holders:
        try:
            holder.wait(10)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()


def _play_as_text(workspace: Workspace, starts: list[tuple[DemoProgram, Start]]) -> int:
    rows: list[list[str]] = []
    worst = 0
    with cancelled_by_signals() as cancel:
        for number, (program, start) in enumerate(starts):
            say("")
            say(f"== {' '.join(start.argv)}")
            say(f"   {program.why}")
            course = run_rounds(
                workspace, start, policy="auto", limits=Limits(rounds=4), narrate=_indented, cancel=cancel
            )
            if cancel.is_set():
                raise KeyboardInterrupt
            rows += _rows(program, course)
            worst = max(worst, course.exit_code)
            if number == 0 and course.exit_code == 0:
                rows.append(_roll_back(workspace, program, course))
    print_table(["PROGRAM", "STOPPED BY", "CAUSE", "RULE APPROVED BEFORE", "VERDICT"], rows)
    return worst


def _indented(text: str) -> None:
    say(f"   {text}")


def _rows(program: DemoProgram, course: Course) -> list[list[str]]:
    rows = []
    for entry in course.rounds:
        cause = best_cause(entry.run.diagnosis)
        verdict = f"{entry.verdict.word}, {rung_in_words(entry.verdict.rung)}" if entry.verdict else "-"
        rows.append([program.name, entry.run.snapshot.reason, cause, entry.approved_before or "-", verdict])
    return rows


def _roll_back(workspace: Workspace, program: DemoProgram, course: Course) -> list[str]:
    """Take the rules of the rounds back, newest first, and show that the first failure is there again."""
    for entry in reversed(course.rounds):
        if entry.approved is not None and entry.run.run_id:
            with suppress(TriageError):
                _indented(LocalActions(workspace, "demo").rollback(entry.run.run_id))
    first = course.rounds[0].run
    again = run_rounds(workspace, read_start(first.dir), hold=False, narrate=_indented).rounds[0].run
    same = (
        again.snapshot.reason == first.snapshot.reason
        and again.snapshot.trigger.exit_code == first.snapshot.trigger.exit_code
    )
    words = "the first failure is back" if same else "it does NOT fail as at first"
    cause = best_cause(again.diagnosis)
    return [program.name, again.snapshot.reason, cause, "rolled back", words]


def _play_recorded(workspace: Workspace, interactive: bool) -> int:
    recorded = recorded_runs()
    if not recorded:
        raise TriageError("no recorded runs ship with this installation, so there is nothing to show")
    workspace.runs_dir.mkdir(parents=True, exist_ok=True)
    for source in recorded:
        place = workspace.runs_dir / source.name
        if not place.exists():
            shutil.copytree(source, place)
    if interactive:
        from triage_tui.cli.ui import open_app

        return open_app(workspace)
    rows = []
    for entry in list_runs(workspace.runs_dir):
        cause = cause_in_words(entry.cause, entry.confidence)
        rows.append([entry.run_id, " ".join(entry.argv), entry.reason, cause, entry.state])
        say(f"{entry.run_id} (recorded): {entry.headline}")
    print_table(["RECORDED RUN", "PROGRAM", "STOPPED BY", "CAUSE", "STATE"], rows)
    return 0
