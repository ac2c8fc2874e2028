"""`triage-tui kb`: check, try, explain and measure the knowledge base."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.errors import TriageError
from triage_tui.text import number_of, safe_line

if TYPE_CHECKING:
    from triage_tui.diagnosis.knowledge import KnowledgeBase
    from triage_tui.diagnosis.knowledge_base.coverage import CoveredCause, CoveredEntry, CoveredScene


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
    case.add_argument("--keep-secrets", action="store_true", help="do not mask what looks like a secret")
    case.add_argument("--into", metavar="DIR", help="directory of the entries (default: your own)")

    explain = commands.add_parser("explain", help="say why a run is diagnosed so, and not otherwise")
    explain.add_argument("run", metavar="RUN", help="run id, a unique ending of it, or `last`")
    explain.add_argument("--entry", metavar="ID", help="only this entry, however far it is")

    coverage = commands.add_parser("coverage", help="list what causes, scenes and entries are covered by")
    coverage.add_argument("run", nargs="*", metavar="RUN", help="runs in which entries may have fired")
    coverage.add_argument("--all-runs", action="store_true", help="all runs of the workspace")

    profile = commands.add_parser("profile", help="measure where the time of a diagnosis goes")
    profile.add_argument("run", nargs="+", metavar="RUN", help="run id, a unique ending of it, or `last`")
    profile.add_argument("--entries", type=int, default=15, metavar="N", help="slowest entries (default 15)")

    for command in (case, explain, coverage, profile):
        # Also behind the command's name, where one looks for it.
        command.add_argument("-C", "--workspace", metavar="DIR", default=argparse.SUPPRESS, help="workspace")
    for command in (lint, test, case, explain, coverage, profile):
        command.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 where the knowledge base is not as it should be."""
    actions = {
        "lint": _lint,
        "test": _test,
        "case": _case,
        "explain": _explain,
        "coverage": _coverage,
        "profile": _profile,
    }
    return actions[args.action](args)


def _in_force() -> list[Path]:
    from triage_tui.resources import shipped
    from triage_tui.rule_places import check_directories, user_directories

    check_directories()
    return [shipped("rules"), *map(Path, user_directories())]


def _knowledge() -> KnowledgeBase:
    """Read what is in force; what has mistakes is left out, and said."""
    from triage_tui.diagnosis.knowledge import read_knowledge

    base = read_knowledge(_in_force()[1:])
    for mistake in base.mistakes:
        say(f"left out: {mistake.sentence()}")
    return base


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
    from triage_tui.diagnosis.knowledge_base.case_tests import try_cases

    base = _knowledge()
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
        which = f"entry {', '.join(args.id)} names" if args.id else "no entry names"
        raise TriageError(f"{which} {'no' if args.id else 'a'} recorded case: `triage-tui kb case` makes one")
    else:
        say(f"{number_of(total, 'case')}: {wrong} wrong")
    return 1 if wrong or base.mistakes else 0


def _case(args: argparse.Namespace) -> int:
    from triage_tui.diagnosis.knowledge_base.cases import load_case
    from triage_tui.diagnosis.knowledge_base.making_cases import make_case
    from triage_tui.retry.workspace import Workspace
    from triage_tui.rule_places import default_directory

    record = Workspace.at(args.workspace).load(args.run)
    into = Path(args.into) if args.into else default_directory()
    path, same, masked = make_case(
        record,
        into,
        args.name,
        cause=args.cause,
        healthy=args.healthy,
        title=args.title,
        max_calls=max(1, args.calls),
        keep_secrets=args.keep_secrets,
    )
    if args.json:
        print_json(
            {"case": path, "calls": len(load_case(path).calls), "diagnosed_alike": same, "masked": masked}
        )
    else:
        print(f"{safe_line(str(path), 400)}: name it in an entry below cases.positive or cases.negative")
    if not same:
        say("the case holds the end of the run only, and is not diagnosed as the run is")
    if masked:
        say(f"{number_of(masked, 'secret was', 'secrets were')} masked; --keep-secrets keeps them")
    say("a case holds what the program printed and the arguments of its calls: look before you hand it on")
    return 0


def _explain(args: argparse.Namespace) -> int:
    from triage_tui.cli.kb_explained import print_explanation
    from triage_tui.diagnosis.knowledge_base.explaining import explain
    from triage_tui.retry.workspace import Workspace

    found = explain(Workspace.at(args.workspace).load(args.run), _knowledge(), args.entry)
    if args.json:
        print_json(found)
    else:
        print_explanation(found)
    return 0


def _coverage(args: argparse.Namespace) -> int:
    from triage_tui.diagnosis.knowledge_base.coverage import cover
    from triage_tui.retry.workspace import Workspace
    from triage_tui.runs.listing import run_dirs
    from triage_tui.runs.reader import load_run

    workspace = Workspace.at(args.workspace)
    names = args.run if not args.all_runs else [path.name for path in run_dirs(workspace.runs_dir)]
    found = cover(_knowledge(), (load_run(workspace.run_dir(name)) for name in names))
    if args.json:
        print_json(found)
        return 0
    header = ["CAUSE", "ENTRIES", "TEMPLATES", "POSITIVE", "NEGATIVE", "WON"]
    print_table(header, [_row(cause) for cause in found.causes])
    print()
    print_table(["SCENE", "CASES", "ENTRIES", "RUNS"], [_row(scene) for scene in found.scenes])
    print()
    header = ["ENTRY", "CAUSE", "FROM", "STATUS", "TEMPLATES", "POSITIVE", "NEGATIVE", "CONTRARY", "WANTED"]
    print_table([*header, "TOLD", "WON"], [_row(entry) for entry in found.entries])
    bare = [one.cause for one in found.causes if not one.entries]
    if bare:
        say(f"no entry names: {', '.join(bare)}")
    if found.never:
        say(f"never a hypothesis in {number_of(found.runs, 'run')}: {', '.join(found.never)}")
    for problem in found.problems:
        say(problem)
    return 0


def _row(counted: CoveredCause | CoveredScene | CoveredEntry) -> list[str]:
    """Return the fields of what is covered as the cells of its table."""
    return [
        str(getattr(counted, name)) or ("shipped" if name == "origin" else "-")
        for name in counted.__struct_fields__
    ]


def _profile(args: argparse.Namespace) -> int:
    from triage_tui.diagnosis.knowledge_base.profiling import profile
    from triage_tui.retry.workspace import Workspace

    workspace = Workspace.at(args.workspace)
    found = profile([workspace.run_dir(name) for name in args.run], _knowledge(), _in_force()[1:])
    if args.json:
        print_json(found)
        return 0
    print_table(
        ["PHASE", "MS", "SHARE"], [[one.phase, f"{one.ms:.2f}", f"{one.share:.0%}"] for one in found.phases]
    )
    print()
    rows = [
        [one.entry, one.origin or "shipped", f"{one.ms:.3f}", f"{one.share:.0%}", str(one.fits)]
        for one in found.entries[: max(0, args.entries)]
    ]
    print_table(["ENTRY", "FROM", "MS", "SHARE", "FITS"], rows)
    say(f"{number_of(found.runs, 'run')} of {number_of(found.calls, 'call')}, medians of 5 measurements")
    return 0
