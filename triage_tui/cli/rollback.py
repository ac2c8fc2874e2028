"""`triage-tui rollback`: take back the rules that a run made active, or go to any generation."""

from __future__ import annotations

import argparse

from triage_tui.cli.results import Decided, Moved, state_of, tell
from triage_tui.errors import TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "run",
        help="run id, a unique ending of it, or `last`; with --to also a target's id, or `shared`",
    )
    parser.add_argument(
        "--to",
        type=int,
        metavar="N",
        help="make generation N of the target active, older or newer; 0: no rule (default: what was active"
        " before this run's approval)",
    )
    parser.add_argument(
        "-m", "--reason", default="", metavar="TEXT", help="why, for the audit log; with --to"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Roll back."""
    workspace = Workspace.at(args.workspace)
    actions = LocalActions(workspace)
    if args.to is not None:
        from triage_tui.retry.rules.named_rules import target_named

        target = target_named(workspace, args.run)
        said = actions.go_to_generation(target, args.to, args.reason)
        tell(args, Moved(target=target, said=[said]))
        return 0
    if args.reason:
        raise TriageError("--reason goes with --to: taking back an approval is its own reason")
    run_id = workspace.run_dir(args.run).name
    said = actions.rollback(run_id)
    tell(args, Decided(run_id=run_id, state=state_of(workspace, run_id), said=[said]))
    return 0
