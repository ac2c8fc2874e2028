"""`triage-tui rules diff`: print how rules differ, by meaning first."""

from __future__ import annotations

import argparse

import msgspec

from triage_tui.cli.output import print_json, say
from triage_tui.cli.unread_rules import as_data, say_unread
from triage_tui.errors import TriageError
from triage_tui.retry.rules.named_rules import NamedRule, Unread, active_of, legible, named
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.change_words import lines_of
from triage_tui.rulebook.check.rule_changes import compare_sets
from triage_tui.text import number_of, safe_line


def diff(args: argparse.Namespace) -> int:
    """Compare, and return 1 when something differs, as diff(1) does."""
    workspace = Workspace.at(args.workspace)
    unread: list[Unread] = []
    new = legible(named(workspace, [args.new or args.old], unread), unread)
    if args.new:
        unread_new = len(unread)
        old = legible(named(workspace, [args.old], unread), unread)
        if (unread_new and not new) or (len(unread) > unread_new and not old):
            # Nothing of one side can be read: the other was neither added nor removed.
            old, new = [], []
    else:
        old = [] if unread and not new else _active_for(workspace, args.old, new)
    old, new = _without(old, unread), _without(new, unread)
    changes = compare_sets(_texts(old), _texts(new))
    differing = [one for one in changes if one.kind != "same"]
    if args.json:
        print_json(
            {
                "rules": [msgspec.to_builtins(one) for one in changes],
                "differ": len(differing),
                "unread": as_data(unread),
            }
        )
    else:
        for one in differing:
            for line in lines_of(one, text=not args.brief):
                print(line)
        verb = "differs" if len(differing) == 1 else "differ"
        say(f"{number_of(len(changes), 'rule')} compared, {len(differing)} {verb}")
    return say_unread(unread) or (1 if differing else 0)


def _without(rules: list[NamedRule], unread: list[Unread]) -> list[NamedRule]:
    """Leave out what would be held against a rule that cannot be read: it was neither added nor removed."""
    if len(rules) == len(unread) == 1:
        return []
    files = {one.file for one in unread}
    return [rule for rule in rules if rule.file not in files]


def _texts(rules: list[NamedRule]) -> dict[str, bytes]:
    texts = {}
    for rule in rules:
        # Fixes and rules that watch lie in different directories of a run, and are active side by side.
        texts[f"{rule.name}/{rule.file}"] = rule.source
    return texts


def _active_for(workspace: Workspace, name: str, new: list[NamedRule]) -> list[NamedRule]:
    """Return the active rules whose places the named ones would take."""
    if not new:
        raise TriageError(f"{safe_line(name, 80)!r} names no rule, so there is nothing to compare")
    targets = {rule.target_id for rule in new}
    if len(targets) != 1 or "" in targets:
        raise TriageError("name two: only what a run proposes can be compared with what is active by itself")
    wanted = {(rule.syscall, rulefile.parse(rule.source).header.id) for rule in new}
    active = active_of(workspace, targets.pop())
    return [one for one in active if (one.syscall, rulefile.parse(one.source).header.id) in wanted]
