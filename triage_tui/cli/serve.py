"""`triage-tui serve`: the terminal app in a browser on this machine."""

from __future__ import annotations

import argparse
import asyncio
import html
import importlib.util
import os
import sys
import tempfile
import webbrowser
from pathlib import Path

from triage_tui.cli.output import say
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line

_NEEDED = ("textual_serve", "aiohttp")
_MEND = "pip install 'textual-serve>=1.1.3,<2'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--port", type=_port, default=0, metavar="N", help="port on 127.0.0.1 (default: a free one)"
    )
    parser.add_argument("--read-only", action="store_true", help="look, but decide nothing")
    parser.add_argument("--open", action="store_true", help="open the browser as well")


def run(args: argparse.Namespace) -> int:
    """Serve until ctrl-c.

    Raises:
        TriageError: the optional part is not installed, or the workspace or the port cannot be had.
    """
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise TriageError(f"`triage-tui serve` needs the Python package textual-serve: {_MEND}")
    root = Workspace.at(args.workspace).root
    from triage_tui.serve.server import Server

    command = [sys.executable, "-m", "triage_tui.cli.served", "-C", str(root)]
    if args.read_only:
        command.append("--read-only")
    with tempfile.TemporaryDirectory(prefix="triage-tui-serve-") as scratch:

        def ready(address: str) -> None:
            say(f"serving {safe_line(str(root))} on this machine only; ctrl-c ends it")
            say("whoever has this address may decide on runs as you may; open it in a browser:")
            print(address, flush=True)
            if args.open:
                _open_browser(address, Path(scratch))

        asyncio.run(Server(command, f"triage-tui: {safe_line(root.name)}", say).run(args.port, ready))
    say("the server has ended; guests that are frozen go on waiting")
    return 0


def _open_browser(address: str, scratch: Path) -> None:
    """Open a browser by way of a file: all users of a machine may read the arguments of all programs."""
    page = scratch / "open.html"
    with os.fdopen(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(address)}">')
    if not webbrowser.open(page.as_uri()):
        say("no browser could be opened: open the address yourself")


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!a} is not a port: 0 to 65535")
    return int(text)
