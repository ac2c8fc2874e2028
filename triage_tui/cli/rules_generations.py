"""`triage-tui rules generations`: list what was active for a target: when, by whom and why."""

from __future__ import annotations

import argparse
from typing import Any

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.retry.rules.named_rules import directory_of, target_named
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.generation_list import ListedGeneration, listed, pointer_problem
from triage_tui.text import number_of


def generations(args: argparse.Namespace) -> int:
    """Print a line for each, the oldest first; `*` marks the active one. 1 for none, or what is damaged."""
    workspace = Workspace.at(args.workspace)
    target = target_named(workspace, args.target)
    directory = directory_of(workspace, target)
    found, wrong = listed(directory), pointer_problem(directory)
    if args.json:
        told = [_as_data(one) for one in found]
        print_json({"target": target, "generations": told, "problem": wrong})
    elif not found:
        say(f"no rule was ever active for target {target}")
    else:
        header = ["", "generation", "of", "when", "who", "rules", "changed", "why"]
        print_table(header, [_cells(one) for one in found])
        last = found[-1].made.number
        say(
            f"{number_of(len(found), 'generation')} of target {target}; `rules diff {target}@{last - 1}"
            f" {target}@{last}` compares two (0 is no rule), `rollback {target} --to N` goes to one"
        )
    if wrong:
        say(f"which generation is active cannot be told: {wrong}")
    return 0 if found and not wrong and not any(one.problem for one in found) else 1


def _cells(one: ListedGeneration) -> list[str]:
    made = one.made
    return [
        "*" if one.active else "",
        str(made.number),
        str(made.parent or "-"),
        made.created[:16].replace("T", " "),
        made.actor,
        str(len(made.files)),
        one.changed,
        f"DAMAGED: {one.problem}" if one.problem else made.reason,
    ]


def _as_data(one: ListedGeneration) -> dict[str, Any]:
    made = one.made
    return {
        "number": made.number,
        "active": one.active,
        "parent": made.parent,
        "created": made.created,
        "actor": made.actor,
        "reason": made.reason,
        "run": one.run,
        "files": made.files,
        "added": one.added,
        "replaced": one.replaced,
        "removed": one.removed,
        "digest": made.digest,
        "problem": one.problem,
        "last_active": one.last_active,
    }
