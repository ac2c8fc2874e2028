"""Commands of a command, which take the options that all have wherever they stand."""

from __future__ import annotations

import argparse
from typing import Any


def subcommand(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Add the command `name` to what `add_subparsers` returned: with --json, and -C behind its name too."""
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=text, description=f"{text[:1].upper()}{text[1:]}.", allow_abbrev=False
    )
    # What stands before the name must not be overwritten by a default.
    parser.add_argument("-C", "--workspace", metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser
