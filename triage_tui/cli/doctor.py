"""`triage-tui doctor`: what this machine can do, what is missing, what that costs, and what mends it.

Only the standard library is sure to be there. What else is missing is said, and all that can be said without
it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triage_tui.telemetry import dependencies
from triage_tui.text import safe_line

_UNSEEN = {
    "name": "everything else",
    "grade": "missing",
    "cost": "what else this machine can do is not known before that is mended",
    "mend": "triage-tui doctor",
    "needed": True,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line (docs/schemas/doctor.schema.json)"
    )
    parser.add_argument(
        "--sfemu",
        metavar="DIR",
        help="say instead what of a rule directory of SFEmu is given here, differs, or is missing",
    )


def run(args: argparse.Namespace) -> int:
    """Print the checks; 1 when something is missing without which nothing runs, else 0.

    Of a rule directory: 1 when something is missing that it uses.
    """
    try:
        from triage_tui.telemetry import doctor
    except Exception:
        return _without_the_rest(as_json=args.json)
    checks = doctor.examine() if args.sfemu is None else doctor.examine_rules(Path(args.sfemu))
    for check in checks:
        _print({name: getattr(check, name) for name in check.__struct_fields__}, as_json=args.json)
    if args.sfemu is not None:
        return 1 if any(check.grade == "missing" for check in checks) else 0
    return doctor.exit_code(checks)


def _without_the_rest(*, as_json: bool) -> int:
    """Say which packages are missing so that not even the checks can be imported.

    Raises:
        Exception: none is, so the fault is in this program.
    """
    lacking = dependencies.lacking()
    if not lacking:
        raise
    for found in lacking:
        _print(found.as_check(), as_json=as_json)
    _print(_UNSEEN | {"found": f"not examined without {lacking[0].dependency.package}"}, as_json=as_json)
    return 1


def _print(check: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(check, separators=(",", ":")), flush=True)
        return
    print(safe_line(f"{check['grade']:8} {check['name']}: {check['found']}", 400))
    if check["cost"]:
        print(safe_line(f"{'':8} {check['cost']}", 400))
    if check["mend"]:
        print(safe_line(f"{'':8} mend it with: {check['mend']}", 400))
