"""`triage-tui freeze`: freeze a guest that runs in this workspace, and have an intervention recorded."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import say
from triage_tui.retry.freezing import ask_to_freeze
from triage_tui.retry.workspace import Workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--pid", type=int, metavar="PID", help="process of the supervisor (default: the newest running guest)"
    )


def run(args: argparse.Namespace) -> int:
    """Ask for it."""
    say(ask_to_freeze(Workspace.at(args.workspace).running_dir, args.pid))
    return 0
