"""`triage-tui policy`: show the written policy that is in force, and check a policy file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import msgspec

from triage_tui.cli.output import print_json
from triage_tui.cli.subcommands import subcommand
from triage_tui.exit_codes import DONE, NO
from triage_tui.retry.rounds.written_policy import Allowed, Line, Never, policy_path, read_policy
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line


class PolicyLine(msgspec.Struct, kw_only=True):
    """A line of a written policy."""

    file: str
    line: int
    says: Allowed


class NeverLine(msgspec.Struct, kw_only=True):
    """A line of what a policy never approves."""

    file: str
    line: int
    says: Never


class PolicyTold(msgspec.Struct, kw_only=True):
    """A written policy: what it approves without a person, what never, and what is wrong with it."""

    file: str
    assist: list[PolicyLine]
    auto: list[PolicyLine]
    never: list[NeverLine]
    problems: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|check")
    show = subcommand(actions, "show", "say which policy is in force, and what it approves without a person")
    check = subcommand(actions, "check", "check a policy file")
    for each in (show, check):
        each.add_argument("file", nargs="?", metavar="FILE", help="another policy file than that in force")


def run(args: argparse.Namespace) -> int:
    """Show or check; 1 where a file that is checked has mistakes."""
    policy = read_policy(policy_path(Workspace.at(args.workspace), args.file))
    code = NO if args.action == "check" and policy.problems else DONE
    lines = {"assist": policy.assist, "auto": policy.auto, "never": policy.never}
    if args.json:
        print_json(
            PolicyTold(
                file=str(policy.path),
                assist=_approving(policy.assist),
                auto=_approving(policy.auto),
                never=[
                    NeverLine(file=one.file, line=one.number, says=one.says)
                    for one in policy.never
                    if isinstance(one.says, Never)
                ],
                problems=list(policy.problems),
            )
        )
        return code
    print(f"policy: {safe_line(str(policy.path), 300)}")
    if args.action == "check":
        count = sum(map(len, lines.values()))
        for problem in policy.problems:
            print(safe_line(problem, 400))
        if not policy.problems:
            print(f"it can be used: {count} lines")
        return code
    for name, found in lines.items():
        print(f"{name}: {'nothing' if not found else ''}".rstrip())
        for line in found:
            print(f"  {line}: {_in_words(line)}")
    for problem in policy.problems:
        print(f"note: {problem}")
    return DONE


def _approving(lines: Iterable[Line]) -> list[PolicyLine]:
    return [
        PolicyLine(file=one.file, line=one.number, says=one.says)
        for one in lines
        if isinstance(one.says, Allowed)
    ]


def _in_words(line: Line) -> str:
    says = line.says
    parts = [f"risk {' or '.join(says.risks)}" if says.risks else "any risk"]
    for what, names in (("kind", says.kinds), ("template", says.templates), ("cause", says.causes)):
        if names:
            parts.append(f"{what} {safe_line(', '.join(names), 200)}")
    if not isinstance(says, Never):
        if says.confidence:
            parts.append(f"confidence {says.confidence:g} or more")
        if says.filled_in:
            parts.append("also what a person filled in")
        if says.observed:
            parts.append("once it was seen to help")
    return "; ".join(parts)
