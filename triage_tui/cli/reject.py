"""`triage-tui reject`: say no to what a run proposes."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import print_json
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.text import recordable, safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument("-m", "--reason", default="", help="why, for the run's event log")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Reject."""
    workspace = Workspace.at(args.workspace)
    run_id = workspace.run_dir(args.run).name
    said = LocalActions(workspace).reject(run_id, recordable(args.reason))
    print_json({"run_id": run_id, "said": [said]}) if args.json else print(safe_line(said))
    return 0
