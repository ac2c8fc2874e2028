"""`triage-tui golden`: recorded runs with what is expected of them, replayed to the byte."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from triage_tui.cli.output import print_json, print_line, print_table, say, say_masked
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.text import number_of, safe_line


class GoldenMade(msgspec.Struct, kw_only=True):
    """A golden run that was made; `note` tells where its replay differs from the run."""

    file: str
    sha256: str
    note: str = ""


class GoldenChecked(msgspec.Struct, kw_only=True):
    """What came of a golden run: the lines of the difference, or why it could not be replayed."""

    name: str
    good: bool
    accepted: bool
    problem: str
    difference: list[str]


class GoldenListed(msgspec.Struct, kw_only=True):
    """A golden run and what is expected of it: signature of the cause, and the verdict in one word.

    Of a file that is none only `problem` says more than its name.
    """

    name: str
    file: str
    title: str = ""
    record: str = ""
    cause: str = ""
    verdict: str = ""
    sha256: str = ""
    problem: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands and their options."""
    from triage_tui.cli.subcommands import subcommand

    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    add = subcommand(actions, "add", "freeze a run with its diagnosis, proposals and verdict of now")
    add.add_argument("run", help="run id, a unique ending of it, or `last`; or a shipped run or case")
    add.add_argument("--name", default="", help="name (default: that of the program, and of the run)")
    add.add_argument("--title", default="", metavar="TEXT", help="what it shows (default: the command)")
    add.add_argument("--force", action="store_true", help="replace one of the same name")
    check = subcommand(actions, "check", "replay golden runs and compare what comes of them, to the byte")
    check.add_argument(
        "--accept", action="store_true", help="make what differs the new expectation; look at it before"
    )
    listed = subcommand(actions, "list", "list the golden runs that ship, and those of the workspace")
    for one in (check, listed):
        one.add_argument("name", nargs="*", help="only these (default: all)")
    for one in (add, check, listed):
        one.add_argument(
            "--in", dest="place", metavar="DIR", help="directory (default: golden/ of the workspace, shipped)"
        )


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 where a golden run is not as expected, or a file is none."""
    workspace = Workspace.at(args.workspace)
    if args.action == "add":
        return _add(args, workspace)
    from triage_tui.evaluation.golden import golden_dirs, golden_files

    if args.place is not None and not Path(args.place).is_dir():
        raise TriageError(f"{safe_line(args.place, 300)} is no directory of golden runs")
    places = [Path(args.place)] if args.place is not None else golden_dirs(workspace.root)
    paths = golden_files(places, args.name)
    if not paths:
        raise TriageError("there is no golden run here: `triage-tui golden add RUN` makes one")
    return _check(args, paths) if args.action == "check" else _list(args, paths)


def _add(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.evaluation.golden import GOLDEN_DIR
    from triage_tui.evaluation.golden_making import add_golden

    into = Path(args.place) if args.place is not None else workspace.root / GOLDEN_DIR
    made = add_golden(workspace, args.run, into, name=args.name, title=args.title, force=args.force)
    if args.json:
        print_json(GoldenMade(file=str(made.path), sha256=made.golden.sha256, note=made.note))
    else:
        print_line(f"{made.path}  (sha256 {made.golden.sha256[:12]})")
        if made.note:
            say(f"note: {made.note}")
    say_masked(made.masked)
    return 0


def _check(args: argparse.Namespace, paths: list[Path]) -> int:
    from triage_tui.evaluation.golden import check
    from triage_tui.evaluation.golden_making import accept

    wrong = accepted = 0
    for one in check(paths):
        taken = args.accept and bool(one.difference)
        if taken:
            accept(one.path, one.found)
        accepted += taken
        wrong += not one.good and not taken
        if args.json:
            print_json(
                GoldenChecked(
                    name=one.name,
                    good=one.good,
                    accepted=taken,
                    problem=one.problem,
                    difference=list(one.difference),
                )
            )
            continue
        print_line(f"{'ok     ' if one.good else 'WRONG  ' if one.problem else 'DIFFERS'}  {one.name}")
        for line in (f"problem: {one.problem}",) if one.problem else one.difference:
            print_line(f"    {line}")
    done = f", {accepted} accepted" if accepted else ""
    say(f"{number_of(len(paths), 'golden run')}: {wrong} not as expected{done}")
    return 1 if wrong else 0


def _list(args: argparse.Namespace, paths: list[Path]) -> int:
    from triage_tui.evaluation.golden import read_golden

    rows = []
    bad = False
    for path in paths:
        listed = GoldenListed(name=path.stem, file=str(path))
        try:
            golden = read_golden(path)
        except TriageError as error:
            bad, listed.problem = True, str(error)
        else:
            listed.title, listed.record, listed.cause = golden.title, golden.record, golden.cause
            listed.verdict, listed.sha256 = golden.verdict, golden.sha256
        if args.json:
            print_json(listed)
        what = listed.problem or listed.title
        rows.append([path.stem, listed.record or "-", listed.cause or "-", listed.verdict or "-", what])
    if not args.json:
        print_table(["NAME", "RECORD", "CAUSE", "VERDICT", "TITLE"], rows)
    return 1 if bad else 0
