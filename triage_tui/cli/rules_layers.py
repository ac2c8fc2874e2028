"""`triage-tui rules layers`: print whose rules act for a target, and which hide which."""

from __future__ import annotations

import argparse
from typing import Any

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.retry.rules.named_rules import target_named
from triage_tui.retry.rules.rule_checks import is_published
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.layers import LayeredRule, acting, layered
from triage_tui.rulebook.layers_in_words import in_order, layer_words
from triage_tui.rulebook.places import SHARED, own_directories
from triage_tui.text import number_of


def layers(args: argparse.Namespace) -> int:
    """Print the rules in the order in which they are asked; 1 when an own file is no rule."""
    workspace = Workspace.at(args.workspace)
    target = target_named(workspace, args.target)
    # What all targets share has nothing of one target's beside it.
    known = "" if target == SHARED else target
    found = layered(workspace.rulebook, known)
    broken = any(rule.problem for rule in found)
    own = [str(directory) for directory in own_directories(workspace.rulebook, known)]
    if args.json:
        print_json({"target": target, "own": own, "rules": [_as_data(rule) for rule in found]})
        return 1 if broken else 0
    if found:
        order = in_order(found)
        rows = [[asked, layer_words(rule), rule.rule or "-", rule.name, why] for asked, rule, why in order]
        print_table(["asked", "whose", "rule", "file", ""], rows)
    act = acting(found)
    verb = "acts" if len(act) == 1 else "act"
    say(f"{number_of(len(act), 'rule')} of {len(found)} {verb} for target {target}")
    of_target = f"{own[0]}/syscall for this target, and " if known else ""
    say(f"files of your own go into {of_target}{own[-1]}/syscall for all")
    if is_published(workspace.root, target):
        say("SFEmu loads the rules of the generation only: `triage-tui rules published` lists what it finds")
    return 1 if broken else 0


def _as_data(rule: LayeredRule) -> dict[str, Any]:
    return {
        "layer": rule.layer,
        "for_all": rule.for_all or rule.layer == "shared",
        "file": rule.name,
        "rule": rule.rule,
        "sha256": rule.sha256,
        "generation": rule.generation,
        "acts": not (rule.hidden_by or rule.problem),
        "hidden_by": rule.hidden_by,
        "problem": rule.problem,
    }
