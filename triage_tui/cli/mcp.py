"""`triage-tui mcp`: offer the tools to outside agents over the Model Context Protocol."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from triage_tui.cli.output import say
from triage_tui.errors import TriageError
from triage_tui.retry.following_sfemu import following
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line

TAKING_IN_S = 2.0
"""How long runs of SFEmu are read before an agent may ask; the others come meanwhile."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--allow-writes", action="store_true", help="let agents note suspicious points in runs too"
    )
    parser.add_argument(
        "--keep-secrets", action="store_true", help="mask nothing: agents get passwords, keys and tokens too"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until standard input ends."""
    if find_spec("mcp") is None:
        raise TriageError("the Python package mcp is missing: pip install 'triage-tui[mcp]' adds it")
    workspace = Workspace.at(args.workspace)
    from triage_tui.agents.runs import AgentRuns
    from triage_tui.agents.server import serve

    workspace.take_in(TAKING_IN_S)
    if not workspace.runs_dir.is_dir():
        say(f"there are no runs in {safe_line(str(workspace.runs_dir))} yet")
    say("serving the runs to an agent on standard input and output; end of input ends it")
    with following(workspace.root):
        serve(AgentRuns(workspace, writes=args.allow_writes, keep_secrets=args.keep_secrets), say)
    return 0
