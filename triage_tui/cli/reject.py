"""`triage-tui reject`: say no to what a run proposes."""

from __future__ import annotations

import argparse

from triage_tui.cli.results import Decided, state_of, tell
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.text import recordable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument("-m", "--reason", default="", metavar="TEXT", help="why, for the run's event log")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Reject."""
    workspace = Workspace.at(args.workspace)
    run_id = workspace.run_dir(args.run).name
    said = LocalActions(workspace).reject(run_id, recordable(args.reason))
    tell(args, Decided(run_id=run_id, state=state_of(workspace, run_id), said=[said]))
    return 0
