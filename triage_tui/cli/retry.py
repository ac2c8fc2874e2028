"""`triage-tui retry`: run a target again with the rules that are active now, and judge the result."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import say
from triage_tui.cli.rounds import add_round_arguments, cancelled_by_signals, finish, round_limits
from triage_tui.errors import Conflict
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import holder_alive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_round_arguments(parser)
    parser.add_argument(
        "--hold", action="store_true", help="keep the guest frozen for a decision, and go on from there"
    )
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")


def run(args: argparse.Namespace) -> int:
    """Retry and print the verdict."""
    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    if holder_alive(record.events):
        raise Conflict(
            f"the guest of run {record.run_id} is frozen and waits:"
            f" say `triage-tui decide {record.run_id} retry`, or end it first"
        )
    start = read_start(record.dir)
    limits = round_limits(args)
    freeze = FreezeSwitch()
    with cancelled_by_signals(freeze) as cancel:
        course = run_rounds(
            workspace,
            start,
            policy=args.policy,
            limits=limits,
            parent=record,
            hold=args.hold or args.policy != "manual",
            narrate=say,
            cancel=cancel,
            freeze=freeze,
            policy_file=args.policy_file,
        )
    return finish(course, cancel, args.json)
