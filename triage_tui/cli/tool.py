"""`triage-tui tool`: call one of the tools that a model or an outside agent gets, as a person."""

from __future__ import annotations

import argparse
from typing import Any

from triage_tui.analyst.tools import Tool, all_tools, by_name
from triage_tui.analyst.tools.texts import about, from_texts, kind_of
from triage_tui.cli.answer import ProgressLines, print_answer
from triage_tui.cli.output import print_json, print_table
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.cases import case_of
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import default_actor
from triage_tui.runs.redaction import Redaction
from triage_tui.text import safe_line

MAX_RESULT = 4 << 20
"""Bytes of an answer: a person reads on where a model cannot."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="name of the tool; without it: list the tools")
    parser.add_argument(
        "run", nargs="?", help="run id, a unique ending of it, or `last`; without it: what the tool takes"
    )
    parser.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="arguments of the tool")
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object")
    parser.add_argument("--keep-secrets", action="store_true", help="mask nothing")


def run(args: argparse.Namespace) -> int:
    """Print the tools, what one takes, or its answer; 1 when it has none."""
    if args.name is None:
        return _list(args.json)
    tool = by_name(args.name)
    if args.run is None:
        return _explain(tool, args.json)
    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    case = case_of(
        workspace,
        record,
        actor=default_actor(),
        max_result=MAX_RESULT,
        redaction=Redaction(off=True) if args.keep_secrets else None,
        progress=ProgressLines(tool.name).line,
    )
    answer = tool.call(case, _given(tool, args.arguments))
    if not answer["success"] and not args.json:
        raise TriageError(answer["error"])
    if not args.json:
        del answer["success"]
        print_answer(answer, as_json=False)
        return 0
    print_json(answer)
    return 0 if answer["success"] else 1


def _list(as_json: bool) -> int:
    if as_json:
        print_json([tool.spec for tool in all_tools()])
    else:
        rows = [[tool.name, "writes" if tool.writes else "reads", tool.description] for tool in all_tools()]
        print_table(["TOOL", "", "WHAT IT ANSWERS"], rows)
    return 0


def _explain(tool: Tool, as_json: bool) -> int:
    if as_json:
        print_json(tool.spec)
        return 0
    print(f"{tool.name}: {tool.description}")
    needed = tool.parameters["required"]
    rows = [
        [name, "needed" if name in needed else "optional", kind_of(schema), about(schema)]
        for name, schema in tool.parameters.get("properties", {}).items()
    ]
    if rows:
        print_table(["ARGUMENT", "", "KIND", "MEANING"], rows)
    return 0


def _given(tool: Tool, words: list[str]) -> dict[str, Any]:
    """Return the arguments in the words NAME=VALUE."""
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise TriageError(f"{safe_line(word, 60)!r} is no argument: give NAME=VALUE")
        pairs.append((name, text))
    return from_texts(tool, pairs)
