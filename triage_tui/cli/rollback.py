"""`triage-tui rollback`: take back the rules that a run made active, or go to any generation."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import print_json
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line


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
    parser.add_argument("--reason", default="", help="why, for the audit log; with --to")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Roll back."""
    workspace = Workspace.at(args.workspace)
    actions = LocalActions(workspace)
    if args.to is not None:
        from triage_tui.retry.named_rules import target_named

        target = target_named(workspace, args.run)
        said = actions.go_to_generation(target, args.to, args.reason)
        print_json({"target": target, "said": [said]}) if args.json else print(safe_line(said))
        return 0
    run_id = workspace.run_dir(args.run).name
    said = actions.rollback(run_id)
    print_json({"run_id": run_id, "said": [said]}) if args.json else print(safe_line(said))
    return 0
