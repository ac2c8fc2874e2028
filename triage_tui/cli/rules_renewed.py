"""`triage-tui rules renew`: rules that were set aside, and what makes them active again."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import print_json
from triage_tui.retry.rules.expiry import aside_now
from triage_tui.retry.rules.named_rules import target_named
from triage_tui.retry.rules.renewal import renew as renew_rules
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line


def renew(args: argparse.Namespace) -> int:
    """List what is set aside, or make it active again."""
    workspace = Workspace.at(args.workspace)
    target_id = target_named(workspace, args.target)
    if args.list:
        aside = aside_now(workspace, target_id)
        if args.json:
            print_json({"target": target_id, "set_aside": aside})
            return 0
        for name, one in aside.items():
            print(safe_line(f"{name}: {one.why}", 600))
        if not aside:
            print(safe_line(f"no rule of target {target_id} is set aside"))
        return 0
    said = renew_rules(workspace, target_id, args.name, reason=args.reason)
    print_json({"target": target_id, "said": [said]}) if args.json else print(safe_line(said, 1600))
    return 0
