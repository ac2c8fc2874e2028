"""`triage-tui approve`: make proposed rules active."""

from __future__ import annotations

import argparse

from triage_tui.cli.results import Approved, state_of, tell
from triage_tui.errors import TriageError
from triage_tui.retry.actions import DECISIONS, LocalActions
from triage_tui.retry.rules.proposed import InTheWay, best_proposal
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.reader import Run
from triage_tui.text import recordable, safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument("what", nargs="*", help="proposal ids or rule files (default: the best proposal)")
    parser.add_argument(
        "--hunk",
        action="append",
        default=[],
        metavar="FILE:N",
        help="only these hunks of a rule file, FILE:2 or FILE:1,3, or by key; may be repeated"
        " (`show RUN --section patch` lists them)",
    )
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="approve although a rule and the active ones get in each other's way",
    )
    parser.add_argument(
        "-m", "--reason", default="", metavar="TEXT", help="why, for the run's event log and the audit log"
    )
    parser.add_argument("--then", choices=DECISIONS, help="what the frozen guest does next")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Approve, and decide if asked to."""
    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    actions = LocalActions(workspace)
    actions.reason = recordable(args.reason)
    try:
        if args.hunk:
            if args.what:
                raise TriageError("name proposals and rule files, or hunks with --hunk: not both")
            # Only here: approving whole files needs nothing of it.
            from triage_tui.cli.patch import chosen

            approvals = chosen(workspace, record, args.hunk)
            files = [approval.name for approval in approvals]
            said = [actions.approve_shown(record.run_id, approvals, anyway=args.anyway)]
        elif (smaller := _smaller(record, args.what)) is not None:
            files = list(smaller.files)
            said = [actions.approve_smaller(record.run_id, smaller.id)]
        else:
            files = _files(record, args.what)
            said = [actions.approve(record.run_id, files, anyway=args.anyway)]
    except InTheWay as error:
        raise TriageError(f"{error}: --anyway approves all the same") from error
    if args.then:
        said.append(actions.decide(record.run_id, args.then))
    state = state_of(workspace, record.run_id)
    tell(args, Approved(run_id=record.run_id, state=state, files=files, said=said))
    return 0


def _smaller(record: Run, what: list[str]) -> Proposal | None:
    """Return the proposal of trials that was named, alone; None where none was.

    Raises:
        TriageError: it was named together with others.
    """
    proposals = record.diagnosis.proposals if record.diagnosis else []
    found = [one for one in proposals if one.id in what and one.source == "trial"]
    if found and len(what) > 1:
        raise TriageError(f"{safe_line(found[0].id, 80)} takes rules out: approve it by itself")
    return found[0] if found else None


def _files(record: Run, what: list[str]) -> list[str]:
    """Return the rule files of the proposals and files that were named, of the best proposal for none."""
    if not what:
        return list(best_proposal(record).files)
    proposals = {
        proposal.id: proposal for proposal in (record.diagnosis.proposals if record.diagnosis else [])
    }
    files: list[str] = []
    for name in what:
        if name in proposals:
            files += proposals[name].files
        elif name in record.patch_files():
            files.append(name)
        else:
            raise TriageError(f"run {record.run_id} has no proposal and no rule file {safe_line(name, 80)!r}")
    return files
