"""`triage-tui doctor`: what this machine can do, what is missing, and what that costs."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import print_json
from triage_tui.telemetry.doctor import examine
from triage_tui.text import safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Print the checks; 1 when something is missing without which nothing runs."""
    checks = examine()
    if args.json:
        for check in checks:
            print_json(check)
    else:
        for check in checks:
            print(safe_line(f"{check.grade:8} {check.name}: {check.found}", 400))
            if check.cost:
                print(safe_line(f"{'':8} {check.cost}", 400))
    needed = [c for c in checks if not c.name.startswith("emulator ")]
    emulators = [c for c in checks if c.name.startswith("emulator ")]
    return (
        1 if any(c.grade == "missing" for c in needed) or all(c.grade == "missing" for c in emulators) else 0
    )
