"""`triage-tui freeze`: freeze a guest that runs in this workspace, and have an intervention recorded."""

from __future__ import annotations

import argparse

from triage_tui.cli.results import Said, tell
from triage_tui.retry.freezing import ask_to_freeze
from triage_tui.retry.workspace import Workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--pid", type=int, metavar="PID", help="process of the supervisor (default: the newest running guest)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Ask for it."""
    tell(args, Said(said=[ask_to_freeze(Workspace.at(args.workspace).running_dir, args.pid)]))
    return 0
