"""What the commands share that run a program again and again: their bounds, and the trials as lines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from triage_tui.cli.output import print_line
from triage_tui.retry.trials.trial import Bounds
from triage_tui.runs.trials_model import Tried

_MARKS = {True: "as good", False: "not as good", None: "reference"}


def add_bounds(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    default = Bounds()
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument(
        "--rounds",
        type=int,
        default=default.runs,
        metavar="N",
        help=f"most runs of the program (default {default.runs})",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=default.seconds,
        metavar="SECONDS",
        help=f"most seconds for all of them (default {default.seconds:g})",
    )
    parser.add_argument(
        "--round-time",
        type=float,
        default=default.each_s,
        metavar="SECONDS",
        help=f"most seconds of one run (default {default.each_s:g}; never longer than the run was allowed)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def bounds(args: argparse.Namespace) -> Bounds:
    """Return the bounds that the options set.

    Raises:
        TriageError: one of them is none.
    """
    return Bounds(runs=args.rounds, seconds=args.timeout, each_s=args.round_time)


def print_trials(trials: Sequence[Tried]) -> None:
    """Print each trial on a line."""
    for number, one in enumerate(trials, 1):
        why = f": {one.why}" if one.why and one.held is not None else ""
        print_line(f"{number:>4}  {_MARKS[one.held]:<12} {one.seconds:>5.1f} s  {one.says}{why}")
