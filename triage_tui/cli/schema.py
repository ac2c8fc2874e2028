"""`triage-tui schema`: the JSON Schemas of the run record and of the knowledge base."""

from __future__ import annotations

import argparse

from triage_tui.runs.schema import SCHEMAS, schema
from triage_tui.runs.writer import encode_json

_KNOWLEDGE = (
    "knowledge-base",
    "knowledge-causality",
    "knowledge-case",
    "rule-templates",
    "rollout-criteria",
)
"""Those whose types are loaded only when they are asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", choices=sorted((*SCHEMAS, *_KNOWLEDGE)), help="which file's schema")


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    if args.name in _KNOWLEDGE:
        from triage_tui.diagnosis.schema import SCHEMAS as KNOWLEDGE

        found = KNOWLEDGE[args.name]()
    else:
        found = schema(args.name)
    print(encode_json(found).decode(), end="")
    return 0
