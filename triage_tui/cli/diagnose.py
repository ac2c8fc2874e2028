"""`triage-tui diagnose`: say again why a recorded run failed, with the knowledge base as it is now."""

from __future__ import annotations

import argparse

import msgspec

from triage_tui.cli.output import best_cause, print_json, say
from triage_tui.cli.results import Trouble, Undiagnosed
from triage_tui.errors import TriageError
from triage_tui.exit_codes import DONE, REFUSED
from triage_tui.retry.inspecting.rediagnose import rediagnose, takes_long
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.text import safe_line


class Rediagnosed(msgspec.Struct, kw_only=True):
    """A run that was diagnosed again."""

    run_id: str
    before: Diagnosis | None
    after: Diagnosis | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("runs", nargs="+", metavar="run", help="run id, a unique ending of it, or `last`")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each run")


def run(args: argparse.Namespace) -> int:
    """Diagnose each run; one that cannot be is said, and the others go on."""
    workspace = Workspace.at(args.workspace)
    failed = 0
    told: set[str] = set()
    for number, name in enumerate(args.runs, 1):
        if len(args.runs) > 1:
            say(f"diagnosing {name}, {number} of {len(args.runs)}")
        try:
            before = workspace.load(name)
            if note := takes_long(before.dir):
                say(note)
            after = rediagnose(before.dir)
        except TriageError as error:
            if len(args.runs) == 1:
                raise
            say(str(error))
            failed += 1
            if args.json:
                why = safe_line(str(error))
                trouble = Trouble(kind="refused", message=why, exit_code=REFUSED, command="diagnose")
                print_json(Undiagnosed(run_id=name, error=trouble))
            continue
        for problem in after.diagnosis.kb_problems if after.diagnosis is not None else ():
            if problem not in told:
                told.add(problem)
                say(safe_line(problem, 600))
        if args.json:
            told_again = Rediagnosed(run_id=after.run_id, before=before.diagnosis, after=after.diagnosis)
            print_json(told_again)
            continue
        was = best_cause(before.diagnosis)
        print(f"{after.run_id}: {safe_line(best_cause(after.diagnosis), 80)}, was {safe_line(was, 80)}")
    return REFUSED if failed else DONE
