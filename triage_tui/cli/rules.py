"""`triage-tui rules`: check and explain rules before anybody approves them."""

from __future__ import annotations

import argparse

import msgspec

from triage_tui.cli.output import print_json, say
from triage_tui.cli.unread_rules import as_data, say_unread
from triage_tui.retry.rules.named_rules import FORMS, Unread, legible, named
from triage_tui.retry.workspace import Workspace
from triage_tui.text import number_of, safe_line

KINDS = ("workspace", "shipped", "cases")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")

    lint = commands.add_parser("lint", help="list what is wrong with rules; 1 when there is an error")
    lint.add_argument("--strict", action="store_true", help="warnings count as errors")

    lint.add_argument("--tried", action="store_true", help="run the rules over the calls of their run, too")

    explain = commands.add_parser("explain", help="say what rules do, for which calls, and how it is undone")

    test = commands.add_parser(
        "test", help="run rules over recorded runs and say what they change; 1 when one breaks something"
    )
    test.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="RUN",
        help="only this run of the workspace, shipped run, or recorded case (a name or a file);"
        " may be repeated",
    )
    test.add_argument(
        "--on",
        action="append",
        default=[],
        choices=KINDS,
        help="these recordings (default: workspace and shipped); may be repeated",
    )
    test.add_argument("--expect", metavar="FILE", help="what the rules are to do; 1 where they do otherwise")
    test.add_argument("--save", metavar="FILE", help="write what the rules do as what is expected of them")
    test.add_argument("--every", action="store_true", help="print every call at which a rule acts")

    cost = commands.add_parser("cost", help="measure what rules cost at the calls of recorded runs")
    cost.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="RUN",
        help="at the calls of this run (default: the rule's own run, else the newest with such calls);"
        " may be repeated",
    )

    fmt = commands.add_parser(
        "fmt", help="give rules their canonical form: files in place, what a run proposes as an edit of it"
    )
    fmt.add_argument("--check", action="store_true", help="change nothing; 1 when a rule is not in that form")
    fmt.add_argument("--diff", action="store_true", help="change nothing and print what would change")

    diff = commands.add_parser(
        "diff", help="say how rules differ, by meaning first; 1 when they do, as diff(1) has it"
    )
    diff.add_argument("old", metavar="OLD", help=FORMS)
    diff.add_argument(
        "new", nargs="?", metavar="NEW", help="the same (default: OLD is proposed, against what is active)"
    )
    diff.add_argument("--brief", action="store_true", help="without the lines of the texts")

    stats = commands.add_parser("stats", help="say what rules did in judged runs, and whether that helped")
    stats.add_argument("rule", nargs="*", metavar="RULE", help="part of an id, or the start of a SHA-256")
    stats.add_argument("--target", default="", metavar="TARGET", help="only this target: the start of its id")
    stats.add_argument("--runs", action="store_true", help="list the runs of each rule as well")

    layers = commands.add_parser(
        "layers",
        help="say whose rules act for a target, in the order in which they are asked",
    )
    made = commands.add_parser("generations", help="list what was active for a target: when, by whom and why")
    for command in (layers, made):
        command.add_argument(
            "target", metavar="TARGET", help="a run, the start of a target's id, or `shared`"
        )

    renew = commands.add_parser(
        "renew", help="make rules active again that were set aside because their evidence was gone"
    )
    renew.add_argument("target", metavar="TARGET", help="the beginning of its id, or a run of it")
    renew.add_argument("name", nargs="*", metavar="RULE", help="path or id; default: all that are set aside")
    renew.add_argument("--list", action="store_true", help="change nothing and list what is set aside")
    renew.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit log")

    found = commands.add_parser(
        "published",
        help="list the rule files that SFEmu finds, whose they are, and what hides what; 1 when they do not"
        " follow the active rules",
    )
    publish = commands.add_parser(
        "publish", help="let the rule files that SFEmu loads follow the active rules again"
    )

    for command in (lint, explain, test, cost, fmt):
        command.add_argument("rule", nargs="*", metavar="RULE", help=f"{FORMS}; default: `active`")
    for command in (lint, explain, test, cost, fmt, diff, stats, layers, made, renew, found, publish):
        if command is not publish:
            command.add_argument("--json", action="store_true", help="as JSON")
        # Also behind the command's name, where one looks for it.
        command.add_argument("-C", "--workspace", metavar="DIR", default=argparse.SUPPRESS, help="workspace")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    from triage_tui.cli.rules_compared import diff
    from triage_tui.cli.rules_cost import cost
    from triage_tui.cli.rules_counted import stats
    from triage_tui.cli.rules_formatted import fmt
    from triage_tui.cli.rules_generations import generations
    from triage_tui.cli.rules_layers import layers
    from triage_tui.cli.rules_published import publish, published
    from triage_tui.cli.rules_renewed import renew
    from triage_tui.cli.rules_tested import test

    actions = {
        "lint": _lint,
        "explain": _explain,
        "test": test,
        "cost": cost,
        "fmt": fmt,
        "diff": diff,
        "stats": stats,
        "layers": layers,
        "renew": renew,
        "generations": generations,
        "published": published,
        "publish": publish,
    }
    return actions[args.action](args)


def _lint(args: argparse.Namespace) -> int:
    from triage_tui.retry.rules.rule_checks import check_named

    workspace = Workspace.at(args.workspace)
    unread: list[Unread] = []
    rules = named(workspace, args.rule, unread)
    found = check_named(workspace, rules, run_them=args.tried)
    everything = [finding for findings in found.values() for finding in findings]
    errors = sum(finding.severity == "error" for finding in everything)
    warnings = len(everything) - errors
    if args.json:
        files = [{"rule": name, "findings": findings} for name, findings in found.items()]
        counted = {"errors": errors, "warnings": warnings}
        print_json({"rules": files, **counted, "unread": as_data(unread)})
    else:
        for name, findings in found.items():
            for finding in findings:
                place = f"{name}:{finding.line}"
                print(safe_line(f"{place}: {finding.severity}: {finding.message} [{finding.code}]", 1000))
        counts = f"{number_of(errors, 'error')}, {number_of(warnings, 'warning')}"
        say(f"{number_of(len(rules), 'rule')}: {counts}")
    return say_unread(unread) or (1 if errors or (args.strict and warnings) else 0)


def _explain(args: argparse.Namespace) -> int:
    from triage_tui.cli.rules_explained import lines_of
    from triage_tui.rulebook.check.explained import explained

    unread: list[Unread] = []
    rules = legible(named(Workspace.at(args.workspace), args.rule, unread), unread)
    found = [(rule.name, explained(rule.file, rule.source, for_all=rule.for_all)) for rule in rules]
    if args.json:
        told = [{"rule": name, "does": one.sentence, **msgspec.to_builtins(one)} for name, one in found]
        print_json({"rules": told, "unread": as_data(unread)})
        return say_unread(unread)
    for number, (name, one) in enumerate(found):
        print("\n" * bool(number) + safe_line(name, 400))
        for line in lines_of(one):
            print(f"  {line}")
    return say_unread(unread)
