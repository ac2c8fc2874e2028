"""`triage-tui minimise`: which of the active rules a run needs, and how narrow they can be."""

from __future__ import annotations

import argparse
from functools import partial

import msgspec

from triage_tui.cli.output import print_line, print_table, print_wrapped, say
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.cli.trial_options import add_bounds, bounds, finish, print_trials
from triage_tui.retry.trials.minimise import in_words, minimise
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.trials_model import Minimised

_WORDS = {
    "needed": "needed",
    "narrowed": "needed, narrower",
    "not_needed": "not needed",
    "untried": "not known yet",
}


class MinimisedTold(msgspec.Struct, kw_only=True):
    """Which rules are needed; `says` is one sentence."""

    run_id: str
    record: str
    says: str
    minimised: Minimised


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_bounds(parser)
    parser.add_argument(
        "--no-narrow", action="store_true", help="only take rules away; leave those that stay as they are"
    )


def run(args: argparse.Namespace) -> int:
    """Search and print what is needed; 0 when every rule was tried to the end."""
    workspace = Workspace.at(args.workspace)
    limits = bounds(args)
    with cancelled_by_signals() as cancel:
        name, found = minimise(
            workspace, args.run, tell=say, cancel=cancel, bounds=limits, narrow=not args.no_narrow
        )
    told = MinimisedTold(run_id=found.run, record=name, says=in_words(found), minimised=found)
    return finish(args, cancel, told, partial(_print, found, name), complete=found.complete)


def _print(found: Minimised, name: str) -> None:
    rows = [
        [_WORDS[one.fate], str(one.hits), one.file, "; ".join(one.narrowed) or one.why] for one in found.rules
    ]
    print_table(["RULE IS", "HITS", "FILE", "WHY"], rows)
    print()
    print_trials(found.trials)
    print()
    print_wrapped("; ".join(found.criterion), "a trial is as good when: ")
    print_line(f"{in_words(found)} ({found.seconds:.0f} s, kept as {name} of run {found.run})")
    if found.proposal:
        print_line("nothing was changed; the smaller set is proposed:")
        print_line(f"  triage-tui approve {found.run} {found.proposal}")
    if not found.complete:
        print_line("the next `triage-tui minimise` of this run goes on from here")
