"""`triage-tui doctor`: what this machine can do, what is missing, what that costs, and what mends it."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import print_json
from triage_tui.telemetry.doctor import examine, exit_code
from triage_tui.text import safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line (docs/schemas/doctor.schema.json)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the checks; 1 when something is missing without which nothing runs, else 0."""
    checks = examine()
    for check in checks:
        if args.json:
            print_json(check)
            continue
        print(safe_line(f"{check.grade:8} {check.name}: {check.found}", 400))
        if check.cost:
            print(safe_line(f"{'':8} {check.cost}", 400))
        if check.mend:
            print(safe_line(f"{'':8} mend it with: {check.mend}", 400))
    return exit_code(checks)
