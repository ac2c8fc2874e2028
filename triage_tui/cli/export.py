"""`triage-tui export`: a run for others: Markdown for a ticket, one HTML file, or a bundle of its files."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from triage_tui.cli.output import add_language, print_json, say_masked
from triage_tui.errors import TriageError
from triage_tui.export.exporting import (
    EXPORTS_DIR,
    FORMATS,
    Wanted,
    export_to,
    exports_directory,
    place_in,
    write_export,
)
from triage_tui.export.placing import make_directory
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line

_IN_MEMORY = 16 << 20


class Exported(msgspec.Struct, kw_only=True):
    """One run that was exported, and how many secrets were masked in it."""

    run_id: str
    format: str
    file: str
    masked: int


class Exports(msgspec.Struct, kw_only=True):
    """All runs of one export."""

    exported: list[Exported]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", nargs="+", help="run id, a unique ending of it, or `last`; several are fine")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="markdown",
        help="markdown: for a ticket (default); html: one file that needs no other; json: a zip of the run's"
        " files, which `triage-tui import` takes back",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"file, directory, or - for standard output (default: {EXPORTS_DIR}/ of the workspace);"
        " for several runs a directory",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--memory", action="store_true", help="json: take the recorded memory objects along")
    parser.add_argument(
        "--keep-secrets", action="store_true", help="mask nothing; the file is then for its owner only"
    )
    add_language(parser)
    parser.add_argument("--json", action="store_true", help="tell what was written as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Export the runs."""
    if args.memory and args.format != "json":
        raise TriageError("--memory is for bundles: add --format json")
    if args.output == "":
        raise TriageError("-o needs the name of a file or directory, or - for standard output")
    if args.json and args.output == "-":
        raise TriageError("--json tells what was written to files: leave it away with -o -")
    workspace = Workspace.at(args.workspace)
    wanted = Wanted(args.format, args.memory, args.keep_secrets, args.lang or "")
    directories = list(dict.fromkeys(workspace.run_dir(name) for name in args.run))
    if args.output == "-":
        if len(directories) > 1:
            raise TriageError("standard output takes one run: name a directory with -o for several")
        _to_output(directories[0], workspace.root, wanted)
        return 0
    written = []
    total = 0
    for directory in directories:
        path = _path(args.output, workspace, directory.name, wanted, len(directories) > 1)
        masked = export_to(path, directory, workspace.root, wanted, force=args.force)
        written.append(Exported(run_id=directory.name, format=wanted.format, file=str(path), masked=masked))
        total += masked
        if not args.json:
            print(safe_line(str(path)))
    if args.json:
        print_json(Exports(exported=written))
    say_masked(total)
    return 0


def _path(output: str | None, workspace: Workspace, run_id: str, wanted: Wanted, several: bool) -> Path:
    if output is None:
        return place_in(exports_directory(workspace.root), run_id, wanted)
    path = Path(output)
    if several:
        make_directory(path)
    return place_in(path, run_id, wanted) if several or path.is_dir() else path


def _to_output(directory: Path, root: Path, wanted: Wanted) -> None:
    if wanted.format == "json" and sys.stdout.isatty():
        raise TriageError("a bundle is a zip file, and standard output is a terminal: name a file with -o")
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as stream:
        masked = write_export(directory, root, wanted, stream)  # type: ignore[arg-type]
        stream.seek(0)
        sys.stdout.flush()
        if wanted.format == "json":
            shutil.copyfileobj(stream, sys.stdout.buffer)
        else:
            sys.stdout.write(stream.read().decode("utf-8"))
    sys.stdout.flush()
    say_masked(masked)
