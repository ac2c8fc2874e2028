"""`triage-tui rules cost`: print what rules cost at the calls of recorded runs."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.cli.unread_rules import as_data, say_unread
from triage_tui.errors import TriageError
from triage_tui.retry.rules.named_rules import Unread, legible, named, with_calls
from triage_tui.retry.rules.rule_tests import recording_for, recordings
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.check.cost import Cost, measure
from triage_tui.text import safe_line

_HEADER = ["RULE", "RUN", "CALLS", "ACTS", "BARE US", "PASSING US", "ACTING US", "IN THE RUN MS", "SHARE"]


def cost(args: argparse.Namespace) -> int:
    """Measure the rules; returns 1 when one could not be measured."""
    workspace = Workspace.at(args.workspace)
    unread: list[Unread] = []
    rules, settings = with_calls(legible(named(workspace, args.rule, unread), unread))
    for rule in settings:
        say(safe_line(f"{rule.name} is a setting of the start, which costs nothing at any call", 300))
    chosen = list(recordings(workspace, args.run, [], say)) if args.run else []
    found: list[tuple[str, Cost]] = []
    for rule in rules:
        try:
            for run in chosen or [recording_for(workspace, rule)]:
                found.append((rule.name, measure(run.name, run.arch, run.calls, rule.file, rule.source)))
        except TriageError as error:
            unread.append(Unread(rule.name, rule.file, str(error)))
    failed = [(name, one) for name, one in found if one.failed]
    if args.json:
        print_json({"costs": [_as_data(name, one) for name, one in found], "unread": as_data(unread)})
    elif found or not unread:
        print_table(_HEADER, [_row(name, one) for name, one in found if not one.failed])
        say("medians in the rule host of this machine, next to a rule that does nothing; compare the ratios")
    for name, one in failed:
        say(f"{safe_line(name, 200)} on {one.run_id}: {one.failed}")
    return say_unread(unread) or (1 if failed else 0)


def _row(name: str, one: Cost) -> list[str]:
    return [
        name,
        one.run_id,
        str(one.calls),
        str(one.acts),
        f"{one.bare_us:.0f}",
        _timed(one.pass_us, one.pass_ratio),
        _timed(one.match_us, one.match_ratio),
        f"{one.total_us / 1000:.2f}",
        f"{one.share:.2%}" if one.share is not None else "-",
    ]


def _timed(time_us: float | None, ratio: float | None) -> str:
    return f"{time_us:.0f} (x{ratio:.1f})" if time_us is not None and ratio is not None else "-"


def _as_data(name: str, one: Cost) -> dict[str, Any]:
    ratios = {"pass_ratio": one.pass_ratio, "match_ratio": one.match_ratio, "share": one.share}
    return {"rule": name, **msgspec.to_builtins(one), **ratios}
