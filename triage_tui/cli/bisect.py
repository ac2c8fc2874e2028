"""`triage-tui bisect`: which change of the rules made a program get less far."""

from __future__ import annotations

import argparse
from functools import partial

import msgspec

from triage_tui.cli.output import print_line, print_table, print_wrapped, say
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.cli.trial_options import add_bounds, bounds, finish, print_trials
from triage_tui.retry.trials.bisect import bisect, in_words
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.trials_model import Bisected


class BisectedTold(msgspec.Struct, kw_only=True):
    """Which change is to blame; `says` is one sentence."""

    run_id: str
    record: str
    says: str
    bisected: Bisected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_bounds(parser)
    parser.add_argument(
        "--good",
        type=int,
        metavar="N",
        help="generation of the target that was good, 0 for no rule (default: that of the run which this one"
        " retries)",
    )


def run(args: argparse.Namespace) -> int:
    """Search and print the guilty change; 0 when it was found."""
    workspace = Workspace.at(args.workspace)
    limits = bounds(args)
    with cancelled_by_signals() as cancel:
        name, found = bisect(workspace, args.run, good=args.good, tell=say, cancel=cancel, bounds=limits)
    told = BisectedTold(run_id=found.run, record=name, says=in_words(found), bisected=found)
    return finish(args, cancel, told, partial(_print, found, name), complete=found.complete)


def _print(found: Bisected, name: str) -> None:
    print_trials(found.trials)
    print()
    print_table(["GUILTY", "WHAT", "FILE"], [[one.rule, one.what, one.file] for one in found.guilty])
    for line in found.why:
        print_wrapped(line, "  ")
    print_line(f"{in_words(found)} ({found.seconds:.0f} s, kept as {name} of run {found.run})")
    if found.guilty:
        print_line("nothing was changed; to go back to the last good rules:")
        print_line(f"  triage-tui rollback {found.run} --to {found.last_good}")
    if found.proposal:
        print_line("or to take only the guilty change back, and keep what came with it:")
        print_line(f"  triage-tui approve {found.run} {found.proposal}")
