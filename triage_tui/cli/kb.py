"""`triage-tui kb`: check, try, explain and measure the knowledge base."""

from __future__ import annotations

import argparse
from pathlib import Path

from triage_tui.cli.output import print_json, say
from triage_tui.errors import TriageError
from triage_tui.text import number_of, safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")

    lint = commands.add_parser("lint", help="list all mistakes of knowledge base files")
    lint.add_argument(
        "place", nargs="*", metavar="FILE|DIR", help="what to check (default: all that is read)"
    )
    lint.add_argument("--strict", action="store_true", help="warnings count as errors")

    test = commands.add_parser("test", help="try entries on the recorded cases that they name")
    test.add_argument("id", nargs="*", metavar="ID", help="only these entries")
    test.add_argument("--failed", action="store_true", help="print only what is wrong")

    case = commands.add_parser("case", help="make a recorded case of a run, for entries to name")
    case.add_argument("run", metavar="RUN", help="run id, a unique ending of it, or `last`")
    case.add_argument("name", metavar="NAME", help="name of the case: lower-case words with hyphens")
    case.add_argument("--cause", required=True, help="the root cause, as a fair judge names it")
    case.add_argument("--healthy", action="store_true", help="the right answer is to change nothing")
    case.add_argument("--title", default="", help="what was run and what was wrong (default: the command)")
    case.add_argument("--calls", type=int, default=600, help="keep so many calls (default 600)")
    case.add_argument("--into", metavar="DIR", help="directory of the entries (default: your own)")

    for command in (lint, test, case):
        command.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 where the knowledge base is not as it should be."""
    return {"lint": _lint, "test": _test, "case": _case}[args.action](args)


def _in_force() -> list[Path]:
    from triage_tui.diagnosis.knowledge_base.places import check_directories, user_directories
    from triage_tui.resources import shipped

    check_directories()
    return [shipped("rules"), *map(Path, user_directories())]


def _lint(args: argparse.Namespace) -> int:
    from triage_tui.diagnosis.knowledge_base.lint import as_data, lint

    found = lint([Path(place) for place in args.place] or _in_force())
    warnings = len(found.mistakes) - found.errors
    if args.json:
        print_json(as_data(found))
    else:
        for mistake in found.mistakes:
            print(f"{mistake.severity}: {mistake.sentence()}")
        for text in found.overridden:
            print(f"note: {safe_line(text, 400)}")
        files, entries = (
            number_of(len(found.files), "file"),
            number_of(len(found.entries), "entry", "entries"),
        )
        say(f"{files}, {entries}: {number_of(found.errors, 'error')}, {number_of(warnings, 'warning')}")
    return 1 if found.errors or (args.strict and warnings) else 0


def _test(args: argparse.Namespace) -> int:
    from triage_tui.diagnosis.knowledge import read_knowledge
    from triage_tui.diagnosis.knowledge_base.case_tests import try_cases
    from triage_tui.diagnosis.knowledge_base.places import user_directories

    base = read_knowledge(map(Path, user_directories()))
    for mistake in base.mistakes:
        say(f"left out: {mistake.sentence()}")
    total = wrong = 0
    trials = []
    for trial in try_cases(base, args.id):
        total += 1
        wrong += not trial.good
        trials.append(trial)
        if args.json or (trial.good and args.failed):
            continue
        mark, sign = ("ok   ", "") if trial.good else ("WRONG", f": {trial.why}")
        where = f" ({trial.origin})" if trial.origin else ""
        print(safe_line(f"{mark}  {trial.kind}  {trial.entry}{where}  {trial.case}{sign}", 400), flush=True)
    if args.json:
        print_json({"trials": trials, "wrong": wrong, "left_out": [one.sentence() for one in base.mistakes]})
    elif not total:
        raise TriageError("no entry names a recorded case: `triage-tui kb lint` lists what is missing")
    else:
        say(f"{number_of(total, 'case')}: {wrong} wrong")
    return 1 if wrong or base.mistakes else 0


def _case(args: argparse.Namespace) -> int:
    from triage_tui.diagnosis.knowledge_base.making_cases import make_case
    from triage_tui.diagnosis.knowledge_base.places import default_directory
    from triage_tui.retry.workspace import Workspace

    record = Workspace.at(args.workspace).load(args.run)
    into = Path(args.into) if args.into else default_directory()
    path, same = make_case(
        record,
        into,
        args.name,
        cause=args.cause,
        healthy=args.healthy,
        title=args.title,
        max_calls=max(1, args.calls),
    )
    if args.json:
        print_json({"case": path, "calls": len(record.trace()), "diagnosed_alike": same})
    else:
        print(f"{safe_line(str(path), 400)}: name it in an entry below cases.positive or cases.negative")
    if not same:
        say("the case holds the end of the run only, and is not diagnosed as the run is")
    say("a case holds what the program printed and the arguments of its calls: look for secrets in it")
    return 0
