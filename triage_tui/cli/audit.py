"""`triage-tui audit`: who decided what, when, on which bytes; and whether that record is whole."""

from __future__ import annotations

import argparse

import msgspec

from triage_tui.cli.output import print_json
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.audit.log import Entry
from triage_tui.rulebook.audit.words import outcome, sentence
from triage_tui.text import number_of, safe_line

_SHOWN = 12
"""Hex digits of a digest."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from triage_tui.cli.subcommands import subcommand

    actions = parser.add_subparsers(dest="action", required=True, metavar="show|verify")
    show = subcommand(actions, "show", "print the decisions, oldest first")
    show.add_argument(
        "--run", default="", metavar="RUN", help="on this run: its id, an ending of it, or `last`"
    )
    show.add_argument("--target", default="", metavar="ID", help="on this target: the beginning of its id")
    show.add_argument("--actor", default="", metavar="NAME", help="of this person or policy")
    show.add_argument(
        "--rule", default="", metavar="WORD", help="about this rule: a part of its name, or its SHA-256"
    )
    show.add_argument(
        "-n", "--last", type=int, default=0, metavar="N", help="only the last N that are chosen"
    )
    verify = subcommand(actions, "verify", "say whether a line was changed, removed, moved or cut off")
    verify.add_argument(
        "--head",
        default="",
        metavar="SHA256",
        help="the digest that an earlier verify printed: the log must still hold that line",
    )


def run(args: argparse.Namespace) -> int:
    """Show or verify."""
    workspace = Workspace.at(args.workspace)
    return _show(args, workspace) if args.action == "show" else _verify(args, workspace)


def _show(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.rulebook.audit import log as audit_log
    from triage_tui.rulebook.audit.select import selected

    lines, _ = audit_log.read_log(workspace.rulebook)
    entries = [line.entry for line in lines if line.entry is not None]
    wanted = workspace.run_dir("last").name if args.run == "last" else args.run
    chosen = selected(entries, run=wanted, target=args.target, actor=args.actor, rule=args.rule)
    if args.last < 0:
        raise TriageError(f"-n takes a number from 1, not {args.last}")
    chosen = chosen[-args.last :] if args.last else chosen
    for entry in chosen:
        print_json(entry) if args.json else _print(entry)
    if not chosen and not args.json:
        print("Nothing was decided yet." if not entries else "No decision is chosen by these words.")
    if (damaged := len(lines) - len(entries)) and not args.json:
        print(f"{number_of(damaged, 'line')} cannot be read: `triage-tui audit verify` says which.")
    return 0


def _print(entry: Entry) -> None:
    when = entry.wall[:19].replace("T", " ")
    print(safe_line(f"{entry.number:>5}  {when}  {sentence(entry)}", 400))
    if entry.says:
        print(safe_line(f"{'':28}{entry.says}", 1000))
    for name, digest in entry.rules.items():
        print(safe_line(f"{'':28}{name}  sha256 {digest[:_SHOWN]}", 300))
    if entry.mended:
        print(f"{'':28}{number_of(entry.mended, 'byte')} of an unfinished line before it were removed")


def _verify(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.rulebook.audit.check import check

    head = args.head.strip().lower()
    if head and (len(head) < _SHOWN or set(head) - set("0123456789abcdef")):
        raise TriageError(f"--head takes the digest that `audit verify` printed, {_SHOWN} hex digits or more")
    found = check(workspace.rulebook, workspace.runs_dir, head)
    if args.json:
        print_json({"whole": found.whole, **msgspec.structs.asdict(found)})
        return 0 if found.whole else 1
    for problem in found.problems:
        print(safe_line(f"problem: {problem}", 600))
    for told in found.notes:
        print(safe_line(f"note: {told}", 600))
    print(outcome(found))
    if found.whole and found.head:
        print(f"Its last line has the SHA-256 {found.head}; note it elsewhere for `audit verify --head`.")
    return 0 if found.whole else 1
