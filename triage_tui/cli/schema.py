"""`triage-tui schema`: JSON Schemas of the run record, the knowledge base and what commands print."""

from __future__ import annotations

import argparse

from triage_tui.errors import TriageError
from triage_tui.runs.schema import SCHEMAS, schema
from triage_tui.runs.writer import encode_json
from triage_tui.text import safe_line

_KNOWLEDGE = (
    "knowledge-base",
    "knowledge-causality",
    "knowledge-case",
    "rule-templates",
    "rollout-criteria",
)
"""Those whose types are loaded only when they are asked for."""
_COMMAND = "command-"
_CAMPAIGN = ("campaign", "campaign-target", "campaign-progress", "campaign-report")
FILES = tuple(sorted((*SCHEMAS, *_KNOWLEDGE, *_CAMPAIGN)))
"""What there are schemas of besides the lines of commands."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help=f"{', '.join(FILES)}; or command-NAME: a line that the command NAME"
        " prints with --json, command-error: the last line of one that was not carried out",
    )


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    if args.name in _KNOWLEDGE:
        from triage_tui.diagnosis.schema import SCHEMAS as KNOWLEDGE

        found = KNOWLEDGE[args.name]()
    elif args.name in _CAMPAIGN:
        from triage_tui.campaign import schema as campaign

        found = campaign.schema(args.name)
    elif args.name.startswith(_COMMAND):
        from triage_tui.cli import command_schemas

        if args.name not in (known := [_COMMAND + name for name in command_schemas.COMMANDS]):
            raise TriageError(
                f"there is no schema {safe_line(args.name, 60)!r}: {', '.join(known)} are there"
            )
        found = command_schemas.schema(args.name.removeprefix(_COMMAND))
    elif args.name in SCHEMAS:
        found = schema(args.name)
    else:
        raise TriageError(
            f"there is no schema {safe_line(args.name, 60)!r}: `triage-tui schema --help` names them"
        )
    print(encode_json(found).decode(), end="")
    return 0
