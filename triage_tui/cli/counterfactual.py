"""`triage-tui counterfactual`: the same start without and with a proposed rule, side by side."""

from __future__ import annotations

import argparse
import shutil

import msgspec

from triage_tui.cli.output import print_json, print_line, print_wrapped, say
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.cli.trial_options import add_times
from triage_tui.cli.wrapping import cells, padded
from triage_tui.exit_codes import DONE, NO
from triage_tui.retry.trials.beside import call_text, calls_beside, is_same, pairs
from triage_tui.retry.trials.counterfactual import observe, wanted
from triage_tui.retry.trials.trial import Bounds
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.trials_model import Counterfactual, kept

_SIDE_BY_SIDE = 100
_CALLS = 24


class CounterfactualTold(msgspec.Struct, kw_only=True):
    """Both futures; `record` is the file below the run that keeps them."""

    run_id: str
    record: str
    better: bool
    counterfactual: Counterfactual


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument(
        "what",
        nargs="*",
        metavar="PROPOSAL",
        help="proposal ids, their numbers as `show` lists them, or rule files (default: the best proposal)",
    )
    add_times(parser, "for all of it", "that each of the two may run")
    parser.add_argument("--last", action="store_true", help="show what was seen last, and run nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run both futures and print them; 0 when the rules got the program further."""
    workspace = Workspace.at(args.workspace)
    if args.last:
        name, found = _newest(workspace, args)
    else:
        bounds = Bounds(runs=2, each_s=args.round_time, seconds=args.timeout)
        with cancelled_by_signals() as cancel:
            name, found = observe(workspace, args.run, args.what, tell=say, cancel=cancel, bounds=bounds)
    if args.json:
        told = CounterfactualTold(run_id=found.run, record=name, better=found.better, counterfactual=found)
        print_json(told)
    else:
        print_counterfactual(found, name)
    return DONE if found.better else NO


def _newest(workspace: Workspace, args: argparse.Namespace) -> tuple[str, Counterfactual]:
    from triage_tui.errors import TriageError

    run = workspace.load(args.run)
    files = wanted(run, args.what).digests if args.what else None
    for name, found in kept(run.dir, Counterfactual):
        if files is None or found.files == files:
            return name, found
    what = "these rules were not" if files is not None else "nothing was"
    raise TriageError(f"{what} tried on run {run.run_id} yet: leave out --last")


def print_counterfactual(found: Counterfactual, name: str) -> None:
    """Print both futures, in two columns where there is room."""
    width = shutil.get_terminal_size((80, 24)).columns
    which = found.proposal or ", ".join(found.files)
    print_line(f"run {found.run}, {which}")
    print_wrapped(f"{found.verdict.word} ({found.verdict.rung}): {'; '.join(found.verdict.reasons)}", "  ")
    for line in found.verdict.masked:
        print_wrapped(line, "  masked, not fixed: ")
    print_wrapped(f"{found.difference}.", "  first difference: ")
    for line in found.notes:
        print_wrapped(f"{line}.", "  note: ")
    print()
    wide = width >= _SIDE_BY_SIDE
    if wide:
        _columns(found, width)
    else:
        for pair in pairs(found):
            print_line(f"{pair.label:<12} {'without' if pair.differs else 'both':<7}  {pair.without}")
            if pair.differs:
                print_line(f"{'':<12} with     {pair.with_rules}")
    print()
    _calls(found, width if wide else 0)
    for text in found.lost[:5]:
        print_line(f"not done with the rule: {text}")
    print_wrapped("; ".join(found.alike), "alike: ")
    print_line(f"kept as {name} of the run, after {found.seconds:.1f} s; nothing was made active")


def _columns(found: Counterfactual, width: int) -> None:
    room = (width - 16) // 2
    print_line(f"{'':<12}  {'WITHOUT THE RULE':<{room}}  WITH THE RULE")
    for pair in pairs(found):
        mark = "≠" if pair.differs else " "
        print(f"{pair.label:<12}{mark} {_fit(pair.without, room)}  {_fit(pair.with_rules, room)}".rstrip())


def _calls(found: Counterfactual, width: int) -> None:
    """Print the calls around the first difference: beside each other, or as a difference where width is 0."""
    rows = calls_beside(found)
    for left, right in rows[:_CALLS]:
        if width:
            room = (width - 4) // 2
            mark = " " if is_same(left, right) else "≠"
            print(f"{_fit(call_text(left), room)} {mark} {_fit(call_text(right), room)}".rstrip())
        elif is_same(left, right):
            print_line(f"  {call_text(left)}")
        else:
            for sign, one in (("-", left), ("+", right)):
                if one is not None:
                    print_line(f"{sign} {call_text(one)}")
    if len(rows) > _CALLS:
        print_line(f"... and {len(rows) - _CALLS} more")


def _fit(text: str, room: int) -> str:
    """Return a text in exactly so many cells."""
    if cells(text) > room:
        while cells(text) >= room:
            text = text[:-1]
        text += "…"
    return padded(text, room)
