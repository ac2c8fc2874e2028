"""`triage-tui rules stats`: print what rules did in judged runs, and whether that helped."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from triage_tui.cli.output import print_json, print_line, print_table, say
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import statistics
from triage_tui.rulebook.statistics import RuleTotals, RunUse
from triage_tui.text import number_of, safe_line

_COUNTED = ["runs", "helped", "hurt", "calls", "matches", "hits", "errors"]


def stats(args: argparse.Namespace) -> int:
    """Print a line for each rule, the last used first; 1 when there is none."""
    rulebook = Workspace.at(args.workspace).rulebook
    lines = [use for target in _targets(rulebook, args.target) for use in statistics.uses(rulebook, target)]
    found = [
        total for total in statistics.totals(lines).values() if not args.rule or _named(total, args.rule)
    ]
    found.sort(key=lambda total: (total.last_used, total.rule), reverse=True)
    if args.json:
        known = {total.sha256 for total in found}
        print_json(
            {
                "rules": [msgspec.to_builtins(total) for total in found],
                "runs": [use for use in lines if any(rule.sha256 in known for rule in use.rules)],
            }
        )
        return 0 if found else 1
    if not found:
        say("nothing was counted of such rules" if lines else "no run with rules was judged yet")
        return 1
    print_table(["rule", "sha256", *_COUNTED, "us/call", "last"], [_cells(total) for total in found])
    if args.runs:
        for total in found:
            print_line()
            print_line(f"{total.rule} {total.sha256[:12]}")
            for use in lines:
                _print_run(use, total.sha256)
    say(f"{number_of(len(found), 'rule')} in {number_of(len(lines), 'judged run')}")
    return 0


def _targets(rulebook: Path, start: str) -> list[str]:
    known = statistics.targets(rulebook)
    found = [target for target in known if target.startswith(start)]
    if start and not found:
        raise TriageError(f"nothing was counted for a target whose id begins with {safe_line(start, 80)!r}")
    return found


def _named(total: RuleTotals, words: list[str]) -> bool:
    return any(word in total.rule or total.sha256.startswith(word) for word in words)


def _cells(total: RuleTotals) -> list[str]:
    each = str(total.time_us // total.calls) if total.calls else "-"
    counted = (total.runs, total.helped, total.hurt, total.calls, total.matches, total.hits, total.errors)
    last = total.last_used[:16].replace("T", " ") or "never"
    return [total.rule, total.sha256[:8], *map(str, counted), each, last]


def _print_run(use: RunUse, sha256: str) -> None:
    for rule in use.rules:
        if rule.sha256 == sha256:
            verdict = use.verdict or "first run"
            new = ", new in it" if rule.fresh and use.before else ""
            counted = (
                f"asked {number_of(rule.calls, 'time')}, {number_of(rule.matches, 'match', 'matches')},"
                f" {number_of(rule.hits, 'hit')}"
            )
            print_line(f"  {use.run}  {verdict}{new}: {counted}")
