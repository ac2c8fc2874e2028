"""`triage-tui binary`: what is known of the code of a program file: functions, calls, ways, strings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from triage_tui.binary import answers
from triage_tui.binary.call_graph import CallGraph
from triage_tui.binary.index_store import index_of
from triage_tui.binary.patterns import compiled
from triage_tui.binary.symbols import MAX_FILE
from triage_tui.cli.answer import ProgressLines, print_answer
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.cases import file_of_run
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.files import read_bounded, real_path
from triage_tui.text import safe_line

_QUESTIONS = {
    "info": "figures of the whole file",
    "functions": "its functions; with a pattern, those whose name it is in",
    "callers": "who calls a function",
    "callees": "whom a function calls",
    "path": "whether and how a function is reached from where the file is entered, or from --from",
    "reachable": "what is reached from where the file is entered, or from --from",
    "strings": "its strings and the functions that use them; with a pattern, those that it is in",
    "search": "names, strings and instructions that a pattern is in",
}
_NEED = ("callers", "callees", "path", "search")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    meanings = "; ".join(f"{name}: {text}" for name, text in _QUESTIONS.items())
    parser.add_argument("question", choices=_QUESTIONS, metavar="QUESTION", help=meanings)
    parser.add_argument(
        "file", help="program file or library; with --run: its path or name in the run, `-` for the program"
    )
    parser.add_argument(
        "subject", nargs="?", metavar="FUNCTION|PATTERN", help="name or address (0x10400); RE2 expression"
    )
    parser.add_argument("--run", metavar="RUN", help="run id, a unique ending of it, or `last`")
    parser.add_argument("--from", dest="begin", default="", metavar="FUNCTION", help="where a way begins")
    parser.add_argument("--certain", action="store_true", help="reachable: by calls only, not by pointers")
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="rows at most (default 200)")
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the answer."""
    if args.question in _NEED and not args.subject:
        raise TriageError(f"`binary {args.question}` needs a function or pattern behind the file")
    if args.limit < 1:
        raise TriageError("--limit must be 1 or more")
    if args.run is None:
        data = read_bounded(real_path(Path(args.file)), MAX_FILE, whole=True)
    else:
        record = Workspace.at(args.workspace).load(args.run)
        data = file_of_run(record, "" if args.file == "-" else args.file)
    try:
        graph = CallGraph(index_of(data, progress=ProgressLines(f"indexing {safe_line(args.file, 100)}")))
    except TriageError as error:
        raise TriageError(f"{safe_line(args.file, 200)}: {error}") from error
    print_answer(_answer(args, data, graph), as_json=args.json)
    return 0


def _answer(args: argparse.Namespace, data: bytes, graph: CallGraph) -> dict[str, Any]:
    question, limit = args.question, args.limit
    if question == "info":
        return answers.summary(graph)
    if question in ("callers", "callees", "path"):
        place = graph.find(args.subject)
        row = answers.function_row(graph, place)
        if question == "callers":
            return row | answers.callers(graph, place, limit)
        if question == "callees":
            return row | answers.callees(graph, place, limit)
        return row | answers.way(graph, place, answers.sources(graph, args.begin))
    pattern = compiled(args.subject) if args.subject else None
    if question == "functions":
        return answers.functions(graph, pattern, limit)
    if question == "strings":
        return answers.strings(graph, pattern, limit)
    if question == "reachable":
        begin = answers.sources(graph, args.begin)
        return answers.reached(graph, begin, pattern, limit, certain=args.certain)
    found = answers.functions(graph, pattern, limit) | answers.strings(graph, pattern, limit)
    return found | answers.code(data, graph, pattern, limit)
