"""`triage-tui rules fmt`: give rules their canonical form."""

from __future__ import annotations

import argparse
import difflib

from triage_tui.cli.output import print_json, say
from triage_tui.cli.unread_rules import as_data, say_unread
from triage_tui.errors import TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.rules.named_rules import NamedRule, Unread, named
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.lua.formatting import formatted
from triage_tui.rulebook.shown import line_text
from triage_tui.runs.files import write_atomic
from triage_tui.text import number_of, safe_line


def fmt(args: argparse.Namespace) -> int:
    """Format the rules; returns 1 when one is not in its form and nothing was to be changed."""
    workspace = Workspace.at(args.workspace)
    unread: list[Unread] = []
    rules = named(workspace, args.rule, unread)
    changed: list[str] = []
    for rule in rules:
        try:
            text = formatted(rule.source, rule.file)
        except TriageError as error:
            unread.append(Unread(rule.name, rule.file, str(error)))
            continue
        if text == rule.source:
            continue
        changed.append(rule.name)
        if args.diff and not args.json:
            _print_difference(rule, text)
        if not (args.check or args.diff):
            _write(workspace, rule, text)
    kept = args.check or args.diff
    if args.json:
        told = {"rules": len(rules), "changed": changed, "written": not kept}
        print_json({**told, "unread": as_data(unread)})
    else:
        for name in changed:
            print(safe_line(f"{'not formatted' if kept else 'formatted'}: {name}", 500))
        say(f"{number_of(len(rules), 'rule')}: {len(changed)} {'to be changed' if kept else 'changed'}")
    return say_unread(unread) or (1 if kept and changed else 0)


def _write(workspace: Workspace, rule: NamedRule, text: bytes) -> None:
    if rule.path is not None:
        # Files of a generation are read-only: they are what was approved.
        if not rule.path.stat().st_mode & 0o222:
            raise TriageError(f"{safe_line(str(rule.path))} is read-only and stays as it is")
        write_atomic(rule.path, text, mode=rule.path.stat().st_mode & 0o777)
    elif rule.run_id:
        file = rule.name.partition(":")[2]
        LocalActions(workspace).save_edit(rule.run_id, file, text.decode("utf-8", "surrogateescape"))
    else:
        raise TriageError(
            f"{safe_line(rule.name, 100)} is part of a generation and stays as it is: --diff shows what would"
            " change"
        )


def _print_difference(rule: NamedRule, text: bytes) -> None:
    old, new = ([line_text(line) for line in part.splitlines(keepends=True)] for part in (rule.source, text))
    name = safe_line(rule.name, 200)
    for line in difflib.unified_diff(old, new, name, f"{name} (formatted)", lineterm=""):
        print(line)
