"""`triage-tui decide`: tell a frozen guest to resume, to start again, or to end."""

from __future__ import annotations

import argparse

from triage_tui.cli.results import Decided, state_of, tell
from triage_tui.retry.actions import DECISIONS, LocalActions
from triage_tui.retry.workspace import Workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument("action", choices=DECISIONS, help="what the guest does next")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Decide."""
    workspace = Workspace.at(args.workspace)
    run_id = workspace.run_dir(args.run).name
    said = LocalActions(workspace).decide(run_id, args.action)
    tell(args, Decided(run_id=run_id, state=state_of(workspace, run_id), said=[said]))
    return 0
