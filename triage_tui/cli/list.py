"""`triage-tui list`: the runs of a workspace, newest first."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import cause_in_words, print_summary, print_table, say
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.listing import Form, RunSummary, list_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--waiting", action="store_true", help="only runs whose frozen guest waits for a decision"
    )
    parser.add_argument(
        "-n", "--limit", type=int, default=0, metavar="N", help="at most N runs (default: all)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    workspace = Workspace.at(args.workspace)
    runs = [entry for entry in list_runs(workspace.runs_dir) if entry.waiting or not args.waiting]
    if args.limit > 0:
        runs = runs[: args.limit]
    if args.json:
        for entry in runs:
            print_summary(entry, workspace.runs_dir)
        return 0
    if not runs:
        say(f"no runs in {workspace.runs_dir}")
        return 0
    header = ["RUN", "STATE", "PROGRAM", "ARCH", "STOPPED BY", "CAUSE", "PROBLEM"]
    print_table(header, [_row(entry) for entry in runs])
    return 0


FORMS: dict[Form, str] = {"writing": "writing", "unreadable": "unreadable", "newer": "newer version"}
"""What is shown in place of the state where that is not known, or not all of it."""


def _row(entry: RunSummary) -> list[str]:
    cause = cause_in_words(entry.cause, entry.confidence)
    state = FORMS.get(entry.form) or (f"{entry.state}, waiting" if entry.waiting else entry.state)
    command = " ".join(entry.argv)[:48] or entry.name
    return [entry.run_id, state, command, entry.arch or "-", entry.reason, cause, entry.problem or ""]
