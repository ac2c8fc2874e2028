"""`triage-tui watch`: print runs as they appear and change, for scripts and second terminals."""

from __future__ import annotations

import argparse
import contextlib
import queue
from pathlib import Path

from triage_tui.cli.output import print_json, say, summary_fields
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rule_places import user_directories
from triage_tui.runs.listing import RunSummary, list_runs, summarize
from triage_tui.runs.watch import RunsWatcher
from triage_tui.text import safe_line

_KNOWLEDGE_S = 1.0
"""How often the files of the knowledge base are looked at, where a person has some."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--count", type=int, default=0, metavar="N", help="end after N changes (default: never)"
    )


def run(args: argparse.Namespace) -> int:
    """Print what is there, then what changes, until interrupted."""
    workspace = Workspace.at(args.workspace)
    changes: queue.Queue[set[str]] = queue.Queue()
    known: dict[str, tuple[str, bool]] = {}
    printed = 0
    wait_s = _KNOWLEDGE_S if user_directories() else None
    with RunsWatcher(workspace.runs_dir, changes.put):
        say(f"watching {workspace.runs_dir}; Ctrl-C ends")
        for entry in reversed(list_runs(workspace.runs_dir)):
            known[entry.run_id] = (entry.state, entry.waiting)
        while not args.count or printed < args.count:
            _tell_of_knowledge()
            try:
                changed = changes.get(timeout=wait_s)
            except queue.Empty:
                continue
            for run_id in sorted(changed):
                run_dir = workspace.runs_dir / run_id
                if not run_dir.is_dir():
                    continue
                entry = summarize(run_dir)
                if known.get(run_id) == (entry.state, entry.waiting):
                    continue
                known[run_id] = (entry.state, entry.waiting)
                _print(entry, workspace.runs_dir if args.json else None)
                printed += 1
    return 0


def _tell_of_knowledge() -> None:
    """Say what happened to the knowledge base, where a person has files of it."""
    if not user_directories():
        return
    from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE

    with contextlib.suppress(TriageError):
        IN_FORCE.current()
    for text in IN_FORCE.news():
        say(text)


def _print(entry: RunSummary, runs_dir: Path | None) -> None:
    if runs_dir is not None:
        print_json(summary_fields(entry, runs_dir))
        return
    waiting = " (waiting for a decision)" if entry.waiting else ""
    print(
        safe_line(f"{entry.run_id}  {entry.state}{waiting}  {entry.headline or entry.name}", 400), flush=True
    )
