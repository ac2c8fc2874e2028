"""`triage-tui rollout`: a rule is observed, then acts for one target, for a group, and for all."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from triage_tui.cli.output import print_json, say
from triage_tui.errors import TriageError
from triage_tui.retry.rules.named_rules import FORMS
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.rollouts.record import Rollout, in_words
from triage_tui.rulebook.rollouts.standing import Standing
from triage_tui.rulebook.targets import name_of
from triage_tui.text import safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands and their options."""
    from triage_tui.cli.subcommands import subcommand

    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    start = subcommand(actions, "start", "begin the rollout of a rule: it is observed and acts nowhere yet")
    start.add_argument("rule", metavar="RULE", help=FORMS)
    start.add_argument(
        "--target", default="", metavar="TARGET", help="the first target: a run of it, or the start of its id"
    )
    start.add_argument(
        "--stage", choices=("observe", "one"), default="observe", help="where to begin (default: observe)"
    )
    start.add_argument(
        "--auto", action="store_true", help="go on by itself as soon as the written criteria are met"
    )
    start.add_argument(
        "--campaign",
        default="",
        metavar="CAMPAIGN",
        help="its group are the targets of this campaign that stopped for the same cause as the first",
    )
    start.add_argument(
        "--of", default="", metavar="GROUP", help="with --campaign: only targets of this group of it"
    )
    promote = subcommand(actions, "promote", "bring it to its next stage, once the written criteria are met")
    promote.add_argument(
        "--anyway", default="", metavar="REASON", help="do so although the criteria are not met"
    )
    for one in (start, promote):
        one.add_argument(
            "--group",
            action="append",
            default=[],
            metavar="TARGET",
            help="a target of its group, as a run of it or the start of its id (repeatable)",
        )
    stop = subcommand(actions, "stop", "stop it: the rule leaves every place that it was put to")
    start.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit log")
    stop.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit log")
    retry = subcommand(
        actions, "try", "run the targets of its stage again, once each, and judge them: 1 when it was stopped"
    )
    show = subcommand(actions, "show", "say how it stands, what is lacking, and what was decided")
    for one in (promote, stop, retry, show):
        one.add_argument("id", metavar="ID", help="id of the rollout, as `list` prints it")
    subcommand(actions, "list", "list the rollouts, those under way first")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    from triage_tui.retry.sharing import rollout

    workspace = Workspace.at(args.workspace)
    match args.action:
        case "start":
            found = rollout.begin(
                workspace,
                args.rule,
                target=args.target,
                group=[*args.group, *_of_campaign(args, workspace)],
                stage=args.stage,
                auto=args.auto,
                reason=args.reason,
            )
        case "promote":
            found = rollout.promote(workspace, args.id, group=args.group, anyway=args.anyway)
        case "stop":
            found = rollout.stop(workspace, args.id, args.reason)
        case "try":
            return _try(args, workspace)
        case _:
            return _show(args, workspace)
    said = f"rollout {found.id}: {in_words(found)}"
    if args.action == "promote" and args.anyway:
        said += f", {found.moves[-1].why}"
    print_json({"rollout": found, "said": [said]}) if args.json else print(safe_line(said, 1000))
    return 0


def _of_campaign(args: argparse.Namespace, workspace: Workspace) -> list[str]:
    """Return the targets of the group that a campaign gives, each as a run of it."""
    if not args.campaign:
        if args.of:
            raise TriageError("--of names a group of a campaign: name that with --campaign")
        return []
    from triage_tui.campaign.rollouts import group_of
    from triage_tui.retry.rules.named_rules import one, target_named

    first = target_named(workspace, args.target) if args.target else one(workspace, args.rule).target_id
    found, note = group_of(workspace, args.campaign, first, args.of)
    if note:
        say(note)
    return found


def _show(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.retry.sharing.rollout import rollouts
    from triage_tui.rulebook.rollouts.record import read
    from triage_tui.rulebook.rollouts.standing import standing

    troubles: list[str] = []
    if args.action == "show":
        one = read(workspace.rulebook, args.id)
        every = [(one, standing(workspace.rulebook, one))]
    else:
        every = rollouts(workspace, troubles.append)
    for found, stands in every:
        if args.json:
            print_json(fields_of(found, stands))
            continue
        print(safe_line(f"{found.id}  {in_words(found)}  {found.file}", 300))
        if args.action == "show":
            for line in lines_of(workspace, found, stands):
                print(safe_line(f"  {line}", 500))
    for text in troubles:
        say(text)
    if not every and not troubles and not args.json:
        print("No rollout was begun yet: `triage-tui rollout start RULE` begins one.")
    return 1 if troubles else 0


def fields_of(found: Rollout, stands: Standing) -> dict[str, Any]:
    """Return a rollout and how it stands, for JSON."""
    return {**msgspec.to_builtins(found), "standing": msgspec.to_builtins(stands)}


def lines_of(workspace: Workspace, found: Rollout, stands: Standing) -> list[str]:
    """Return what `show` tells of a rollout, without its first line."""
    rulebook = workspace.rulebook
    lines = [f"first target: {name_of(rulebook, found.target)}"]
    lines += [f"group: {name_of(rulebook, target)}" for target in found.group]
    lines.append(f"this stage began {found.since[:19].replace('T', ' ')}")
    lines.append(
        f"since then: {stands.runs} runs, {stands.matches} calls, helped {stands.helped},"
        f" hurt {stands.hurt}, errors {stands.errors}"
    )
    if found.state == "under_way":
        lines += [f"lacking: {text}" for text in stands.lacking]
        lines += [f"beyond what is allowed: {text}" for text in stands.breaches]
        if not stands.lacking and not stands.breaches:
            lines.append(f"the criteria are met: `triage-tui rollout promote {found.id}` brings it on")
    elif found.state == "done":
        lines += stands.gone
    for one in found.moves:
        why = f": {one.why}" if one.why else ""
        when, what = one.wall[:19].replace("T", " "), one.kind.replace("_", " ")
        lines.append(f"{when}  {what} ({one.stage}) by {one.actor}{why}")
    return lines


def _try(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.cli.rounds import cancelled_by_signals
    from triage_tui.retry.freezing import FreezeSwitch
    from triage_tui.retry.rounds.loop import run_rounds
    from triage_tui.retry.sharing.retried_runs import newest_runs
    from triage_tui.retry.start import read_start
    from triage_tui.rulebook.rollouts.record import read

    found = read(workspace.rulebook, args.id)
    if found.state == "stopped":
        raise TriageError(f"rollout {found.id} is stopped")
    targets = found.candidates if found.stage == "observe" else found.members
    runs = newest_runs(workspace, targets, found.sha256)
    if not runs:
        raise TriageError(f"no run of a target of rollout {found.id} is here that could be retried")
    said = []
    for record in runs:
        freeze = FreezeSwitch()
        with cancelled_by_signals(freeze) as cancel:
            course = run_rounds(
                workspace,
                read_start(record.dir),
                parent=record,
                hold=False,
                narrate=say,
                cancel=cancel,
                freeze=freeze,
            )
        word = course.last_verdict.word if course.last_verdict is not None else "interrupted"
        said.append(f"{name_of(workspace.rulebook, record.snapshot.target.target_id)}: {word}")
        if cancel.is_set():
            break
    after = read(workspace.rulebook, args.id)
    said.append(f"rollout {after.id}: {in_words(after)}")
    if args.json:
        print_json({"rollout": after, "said": said})
    else:
        for line in said:
            print(safe_line(line, 300))
    return 1 if after.state == "stopped" else 0
