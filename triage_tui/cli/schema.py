"""`triage-tui schema`: the JSON Schemas of the run record."""

from __future__ import annotations

import argparse

from triage_tui.runs.schema import SCHEMAS, schema
from triage_tui.runs.writer import encode_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", choices=sorted(SCHEMAS), help="which file's schema")


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    print(encode_json(schema(args.name)).decode(), end="")
    return 0
