"""`triage-tui experiment`: try what would make the cause surer, and say what was learnt."""

from __future__ import annotations

import argparse

import msgspec

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.errors import Interrupted, TriageError
from triage_tui.retry.experiments.carrying_out import Outcome, carry_out, possible
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Experiment
from triage_tui.text import safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument(
        "id", nargs="?", default="", help="which experiment: its id, or its kind (default: the best)"
    )
    parser.add_argument("--list", action="store_true", help="only say what can be tried")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """List the experiments of a run, or carry one out; 0 when it told something."""
    workspace = Workspace.at(args.workspace)
    if args.list:
        record = workspace.load(args.run)
        found = possible(record)
        anyway = [] if found else possible(record, anyway=True)
        if args.json:
            print_json({"run_id": record.run_id, "experiments": found, "anyway": anyway})
        else:
            _print_list(found, anyway)
        return 0
    with cancelled_by_signals() as cancel:
        try:
            outcome = carry_out(workspace, args.run, args.id, say, cancel)
        except TriageError:
            if cancel.is_set():
                raise Interrupted(cancel.number) from None
            raise
    _print_outcome(outcome, as_json=args.json)
    return 0 if outcome.told else 1


def _print_list(found: list[Experiment], anyway: list[Experiment]) -> None:
    if not found and not anyway:
        print("Nothing has to be tried: the cause is sure, or the record allows no experiment.")
        return
    if not found:
        print("Nothing has to be tried: the cause is sure. By name each of these can be tried all the same:")
        found = anyway
    print_table(
        ["EXPERIMENT", "BITS", "WHAT IS DONE"], [[one.id, f"{one.gain:.2f}", one.says] for one in found]
    )
    for one in found:
        # Why one is needed is told only where one is.
        print(f"  {safe_line(one.id, 40)}{'' if anyway else f': {safe_line(one.why, 200)}'}")
        print(f"    it tells {safe_line(one.what_it_would_tell, 300)}; cost: {safe_line(one.cost, 200)}")


def _print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "experiment": outcome.experiment,
                "told": outcome.told,
                "learnt": outcome.learnt,
                "run_id": outcome.run_id,
                "before": msgspec.to_builtins(outcome.before),
                "after": msgspec.to_builtins(outcome.after),
            }
        )
        return
    print(f"{safe_line(outcome.learnt, 600)}.")
    print(f"The evidence is in run {outcome.run_id}.")
