"""`triage-tui retry`: run a target again with the rules that are active now, and judge the result."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import print_json, print_table, print_wrapped, say
from triage_tui.cli.rounds import add_round_arguments, cancelled_by_signals, finish, round_limits
from triage_tui.errors import Conflict, Interrupted, TriageError
from triage_tui.exit_codes import DONE, PERSON
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import read_start
from triage_tui.retry.trials.each_rule import try_each
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import holder_alive
from triage_tui.text import number_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_round_arguments(parser)
    parser.add_argument(
        "--hold", action="store_true", help="keep the guest frozen for a decision, and go on from there"
    )
    parser.add_argument(
        "--from",
        dest="origin",
        choices=("start", "checkpoint"),
        default="start",
        help="start: run the program again (default); checkpoint: go on from where it was frozen, in a new "
        "process, where the run was made with --checkpoint",
    )
    parser.add_argument(
        "--each-rule",
        action="store_true",
        help="with --from checkpoint: go on once for each rule that the run proposes, and say what came of "
        "it; none becomes active",
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
    if args.each_rule:
        return _each_rule(args, workspace, record.run_id)
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
            checkpoint=args.origin == "checkpoint",
        )
    return finish(course, cancel, args.json)


def _each_rule(args: argparse.Namespace, workspace: Workspace, run_id: str) -> int:
    """Try each proposed rule from the checkpoint, and print what came of it."""
    if args.origin != "checkpoint":
        raise TriageError("--each-rule tries rules from a checkpoint: say --from checkpoint as well")
    with cancelled_by_signals() as cancel:
        found = try_each(workspace, run_id, tell=say, cancel=cancel)
    if args.json:
        print_json(found)
    else:
        rows = [[one.proposal or "-", one.title, one.verdict or "-", one.ends or "-"] for one in found.tried]
        print_table(["PROPOSAL", "WITH", "VERDICT", "IT"], rows)
        for one in found.tried:
            if one.why:
                print_wrapped(f"{one.proposal or one.title}: {one.why}", "  ", "    ")
        say(f"{number_of(len(found.tried), 'trial')} in {found.seconds:g} s; nothing became active")
    if cancel.is_set():
        raise Interrupted(cancel.number)
    return DONE if found.complete else PERSON
