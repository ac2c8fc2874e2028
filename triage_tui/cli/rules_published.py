"""`triage-tui rules published` and `publish`: the rule files that SFEmu finds, and which of them are ours."""

from __future__ import annotations

import argparse

import msgspec

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.sfemu import lookup, publishing, rules_dir
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import number_of, safe_line


def published(args: argparse.Namespace) -> int:
    """Print every file by syscall; 1 where what SFEmu loads does not follow the active rules."""
    rules = _rules(args)
    files = lookup.rule_files(rules)
    hides, wrong = lookup.what_hides(files), lookup.what_is_wrong(rules, files)
    if args.json:
        told = [{**msgspec.structs.asdict(one), "left_over": one.left_over} for one in files]
        print_json({"directory": str(rules.root), "files": told, "hides": hides, "wrong": wrong})
        return 1 if wrong else 0
    if files:
        print_table(["call", "asked", "file", "whose", "rules"], [_cells(one) for one in files])
    ours = [one for one in files if one.whose in ("ours", "changed")]
    say(f"{number_of(len(ours), 'file')} published of {len(files)} in {safe_line(str(rules.root), 200)}")
    for sentence in (*hides, *wrong):
        say(sentence)
    return 1 if wrong else 0


def publish(args: argparse.Namespace) -> int:
    """Let what SFEmu loads follow the active rules; 1 where something is in the way."""
    rules = _rules(args)
    plan = publishing.settle(rules)
    for problem in plan.problems:
        say(str(problem))
    say(publishing.in_words(plan) or "nothing else had to be published")
    return 1 if plan.problems else 0


def _cells(one: lookup.RuleFile) -> list[str]:
    asked = "yes" if one.asked else "no"
    return [one.call, asked, one.path, lookup.origin_of(one), ", ".join(one.rules)]


def _rules(args: argparse.Namespace) -> RulesDirectory:
    root = Workspace.at(args.workspace).root
    rules = rules_dir.around(root)
    if rules is None:
        raise TriageError(f"{safe_line(str(root), 200)} is no rule directory of SFEmu: name one with -C")
    return rules
