"""`triage-tui import`: take bundles that `triage-tui export --format json` wrote into a workspace."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from triage_tui.cli.output import print_json
from triage_tui.export.manifest import LeftOut
from triage_tui.export.unpacking import unpack_bundle
from triage_tui.retry.workspace import Workspace
from triage_tui.text import number_of, safe_line


class Imported(msgspec.Struct, kw_only=True):
    """A run that came from a bundle: how many files it has, and what was left out when it was exported."""

    run_id: str
    files: int
    left_out: list[LeftOut]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", nargs="+", help="zip file of `triage-tui export --format json`")
    parser.add_argument("--json", action="store_true", help="one JSON object a bundle")


def run(args: argparse.Namespace) -> int:
    """Import the bundles."""
    workspace = Workspace.at(args.workspace, made=True)
    for name in args.bundle:
        run_id, manifest = unpack_bundle(Path(name), workspace.root)
        if args.json:
            print_json(Imported(run_id=run_id, files=len(manifest.files), left_out=manifest.left_out))
        else:
            files, out = len(manifest.files), len(manifest.left_out)
            left = f"; {number_of(out, 'file')} of the run left out when it was exported" if out else ""
            print(safe_line(f"{run_id}: {number_of(files, 'file')}{left}"))
    return 0
