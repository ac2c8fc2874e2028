"""Hold what commands print against the schemas that are published, without the room for more fields."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import jsonschema
import pytest

from triage_tui.cli.command_schemas import schema
from triage_tui.cli.main import main


@cache
def validator(command: str) -> jsonschema.Draft202012Validator:
    """Return what checks a line of a command; a field that the schema does not name is a mistake."""
    document = copy.deepcopy(schema(command))
    _close(document)
    return jsonschema.Draft202012Validator(document)


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if "properties" in node:
            node["additionalProperties"] = False
        for value in node.values():
            _close(value)
    elif isinstance(node, list):
        for value in node:
            _close(value)


def printed(capsys: pytest.CaptureFixture[str], name: str, *words: str, code: int = 0) -> list[Any]:
    """Run a command with --json in this process; return its lines, each held against the schema."""
    capsys.readouterr()
    assert main([name, "--json", *words]) == code
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        checked = "error" if "error" in line and "run_id" not in line else name
        validator("show-patch" if "patch" in words else checked).validate(line)
    return lines
