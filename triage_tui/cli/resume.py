"""`triage-tui resume`: go on with a run from exactly where it stands."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import say
from triage_tui.cli.results import Decided, state_of, tell
from triage_tui.cli.rounds import (
    add_limit_arguments,
    cancelled_by_signals,
    finish,
    round_limits,
)
from triage_tui.exit_codes import DONE
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.rounds.kept_rounds import read_kept
from triage_tui.retry.rounds.policy import POLICIES
from triage_tui.retry.rounds.resuming import granted, resume_rounds
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import holder_alive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--policy", choices=POLICIES, help="another policy than before (docs/retry.md)")
    add_limit_arguments(parser)
    parser.add_argument(
        "run", nargs="?", default="last", help="run id, a unique ending of it, or `last` (the default)"
    )


def run(args: argparse.Namespace) -> int:
    """Let a frozen guest go on, else go on with the rounds of the run."""
    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    if holder_alive(record.events):
        said = LocalActions(workspace).decide(record.run_id, "resume")
        tell(args, Decided(run_id=record.run_id, state=state_of(workspace, record.run_id), said=[said]))
        return DONE
    kept = read_kept(workspace, record)
    freeze = FreezeSwitch()
    with cancelled_by_signals(freeze) as cancel:
        course = resume_rounds(
            workspace,
            record,
            limits=round_limits(args, granted(kept)) if kept is not None else None,
            policy=args.policy,
            policy_file=args.policy_file,
            narrate=say,
            cancel=cancel,
            freeze=freeze,
        )
    return finish(course, cancel, args.json)
