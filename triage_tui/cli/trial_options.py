"""What the commands share that run a program again and again: their bounds, and the trials as lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import msgspec

from triage_tui.cli.output import print_json, print_line
from triage_tui.cli.rounds import SignalEvent
from triage_tui.errors import Interrupted
from triage_tui.exit_codes import DONE, PERSON
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
    add_times(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_times(
    parser: argparse.ArgumentParser, of_all: str = "for all of them", of_one: str = "of one run"
) -> None:
    """Declare how long all runs and each of them may take; `of_all` and `of_one` say it in the help."""
    default = Bounds()
    parser.add_argument(
        "--timeout",
        type=float,
        default=default.seconds,
        metavar="SECONDS",
        help=f"most seconds {of_all} (default {default.seconds:g})",
    )
    parser.add_argument(
        "--round-time",
        type=float,
        default=default.each_s,
        metavar="SECONDS",
        help=f"most seconds {of_one} (default {default.each_s:g}; never longer than the run was allowed)",
    )


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


def finish(
    args: argparse.Namespace,
    cancel: SignalEvent,
    told: msgspec.Struct,
    show: Callable[[], None],
    *,
    complete: bool,
) -> int:
    """Print what came of a search, as JSON where that was asked for; return the exit code.

    Raises:
        Interrupted: `cancel` was set; what is known by then is printed.
    """
    print_json(told) if args.json else show()
    if cancel.is_set():
        raise Interrupted(cancel.number)
    return DONE if complete else PERSON
