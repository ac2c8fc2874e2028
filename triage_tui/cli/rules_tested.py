"""`triage-tui rules test`: print what rules would have done in recorded runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from triage_tui.cli.output import print_json, say
from triage_tui.cli.unread_rules import as_data, say_unread
from triage_tui.retry.rules.named_rules import Unread, legible, named, with_calls
from triage_tui.retry.rules.rule_tests import (
    Tried,
    read_expectations,
    recordings,
    save_expectations,
    try_rules,
)
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.check.replay import Outcome, Replay
from triage_tui.text import number_of, safe_line

_SHOWN = 5
"""Calls of one run that are printed."""


def test(args: argparse.Namespace) -> int:
    """Try the rules, print what they did, and return 1 when one broke something."""
    workspace = Workspace.at(args.workspace)
    unread: list[Unread] = []
    rules, settings = with_calls(legible(named(workspace, args.rule, unread), unread))
    for rule in settings:
        say(safe_line(f"{rule.name} is a setting of the start: a retry tries it, recorded calls cannot", 300))
    if (settings or unread) and not rules and not args.json:
        return say_unread(unread)
    expected = read_expectations(Path(args.expect)) if args.expect else []
    runs = args.run or ([] if args.on else list(dict.fromkeys(one.run for one in expected)))
    kinds = args.on or ["workspace", "shipped"]
    tried = []
    for one in try_rules(rules, recordings(workspace, runs, kinds, say), expected, say):
        tried.append(one)
        if not args.json and (args.every or one.replay.acted or one.replay.unclear or not one.good):
            _print(one, args.every)
    wrong = sum(not one.good for one in tried)
    if args.save:
        save_expectations(Path(args.save), tried)
    if args.json:
        print_json({"tried": [_as_data(one) for one in tried], "wrong": wrong, "unread": as_data(unread)})
    else:
        acted = sum(len(one.replay.acted) for one in tried)
        runs_tried = number_of(len({one.recording for one in tried}), "run")
        say(
            f"{number_of(len(rules), 'rule')} on {runs_tried} with such calls:"
            f" {number_of(acted, 'call')} would go otherwise, {wrong} wrong"
        )
    return say_unread(unread) or (1 if wrong or not tried else 0)


def _print(one: Tried, every: bool) -> None:
    found = one.replay
    mark = "ok   " if one.good else "WRONG"
    head = f"{mark} {one.rule.name} on {one.recording} ({found.arch}, {one.title})"
    print(safe_line(f"{head}: {in_words(found)}", 600), flush=True)
    for text in one.unmet:
        print(safe_line(f"      not as expected: {text}", 400))
    if found.failure:
        print(safe_line(f"      switched off: {found.failure}", 400))
    shown = [outcome for outcome in found.outcomes if outcome.differs]
    for outcome in shown if every else shown[:_SHOWN]:
        for line in lines_of(outcome):
            print(f"      {line}")
    if len(shown) > _SHOWN and not every:
        print(f"      and {len(shown) - _SHOWN} more (--every)")


def in_words(found: Replay) -> str:
    """Return at how many calls a rule acted, in one clause."""
    told = f"acts at {len(found.acted)} of {number_of(found.calls, f'{found.syscall} call')}"
    if found.hit is not None and found.hit.state == "used_up":
        told += f", then its {number_of(found.hit.limit or 0, 'hit')} are used up"
    return told + (f", and {found.unclear} cannot be told" if found.unclear else "")


def lines_of(outcome: Outcome) -> list[str]:
    """Return what a rule made of one call, one line each, safe to show."""
    was = outcome.was_errno or ("?" if outcome.was is None else str(outcome.was))
    if outcome.answers:
        became = f"{was} -> {outcome.errno or outcome.ret}"
    else:
        became = "the call is made" if outcome.acts else was
    about = f" {outcome.about}" if outcome.about else ""
    did = f"; {', '.join(outcome.did)}" if outcome.did else ""
    unsure = f" (not sure: {outcome.unclear})" if outcome.unclear else ""
    lines = [f"call {outcome.seq}{about}: {became}{did}{unsure}"]
    lines += [f"  WRONG: {problem}" for problem in outcome.problems]
    return [safe_line(line, 400) for line in lines]


def _as_data(one: Tried) -> dict[str, Any]:
    found = one.replay
    return {
        "rule": one.rule.name,
        "run": one.recording,
        "arch": found.arch,
        "good": one.good,
        "unmet": one.unmet,
        "syscall": found.syscall,
        "calls": found.calls,
        "acts": len(found.acted),
        "unclear": found.unclear,
        "failure": found.failure,
        "findings": found.findings,
        "outcomes": [outcome for outcome in found.outcomes if outcome.differs],
    }
