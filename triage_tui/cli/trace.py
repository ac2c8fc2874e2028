"""`triage-tui trace`: the way of a run, a rule or a story from its evidence to its verdicts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from triage_tui.cli.output import print_json, print_line, say_masked
from triage_tui.exit_codes import DONE
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_block

if TYPE_CHECKING:
    from collections.abc import Iterable

    from triage_tui.retry.tracing.model import Trace

_MAX_LINES = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "subject",
        metavar="RUN|RULE|STORY",
        help="run id, a unique ending of it (a number), or `last`; a rule's id, a part of it, its file or its"
        " SHA-256; the name of a story",
    )
    parser.add_argument(
        "--of", choices=("run", "rule", "story"), help="what it names, where that is not clear"
    )
    parser.add_argument("--markdown", action="store_true", help="as Markdown, with secrets masked")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--keep-secrets", action="store_true", help="mask nothing in the Markdown")


def run(args: argparse.Namespace) -> int:
    """Print the trace."""
    from triage_tui.retry.tracing.finding import find
    from triage_tui.retry.tracing.trace import make_trace
    from triage_tui.retry.tracing.writing import as_markdown, as_text

    workspace = Workspace.at(args.workspace)
    trace = make_trace(workspace, find(workspace, args.subject, args.of))
    if args.json:
        print_json(trace)
    elif args.markdown:
        _print_masked(workspace, trace, as_markdown(trace), keep=args.keep_secrets)
    else:
        for line in as_text(trace):
            print_line(line)
    return DONE


def _print_masked(workspace: Workspace, trace: Trace, lines: Iterable[str], *, keep: bool) -> None:
    from triage_tui.runs.redaction import Redaction

    text, count = "\n".join(lines), 0
    for name in [] if keep else trace.runs:
        redaction = Redaction.of(workspace.load(name))
        text = redaction.text(text)
        count += redaction.count
    print(safe_block(text, _MAX_LINES))
    say_masked(count)
