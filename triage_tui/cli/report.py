"""`triage-tui report`: the diagnosis of one run for others to read, in English or another language."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path

from triage_tui.cli.output import add_language, say_masked
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.errors import TriageError
from triage_tui.export.exporting import Wanted, write_export
from triage_tui.export.placing import place_file
from triage_tui.language.choice import wanted_language
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import load_run
from triage_tui.runs.redaction import Redaction
from triage_tui.text import safe_block, safe_line

_MAX_LINES, _MAX_LINE = 100_000, 64 << 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument(
        "--format",
        choices=("md", "html"),
        default="md",
        help="md: the diagnosis with its evidence links, as in diagnosis.md (default); html: one file with"
        " the evidence itself",
    )
    add_language(parser)
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="file (default: standard output)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--keep-secrets", action="store_true", help="mask nothing; a file is then for its owner only"
    )


def run(args: argparse.Namespace) -> int:
    """Write the report."""
    workspace = Workspace.at(args.workspace)
    if args.output == "":
        raise TriageError("-o needs the name of a file, or - for standard output")
    directory = workspace.run_dir(args.run)
    stream = io.BytesIO()
    if args.format == "html":
        wanted = Wanted("html", keep_secrets=args.keep_secrets, language=args.lang or "")
        masked = write_export(directory, workspace.root, wanted, stream)
    else:
        record = load_run(directory)
        if record.diagnosis_problem:
            again = f"`triage-tui diagnose {record.run_id}` makes it again"
            raise TriageError(f"{record.diagnosis_problem}; {again}")
        if record.diagnosis is None:
            raise TriageError(f"run {record.run_id} has no diagnosis, so there is nothing to report")
        redaction = Redaction.of(record, off=args.keep_secrets)
        page = render_markdown(record, record.diagnosis, wanted_language(args.lang), check=True)
        text = redaction.text(page)
        # The diagnosis may be another's: what it says reaches a terminal.
        stream.write(safe_block(text, _MAX_LINES, _MAX_LINE).encode("utf-8", "backslashreplace"))
        masked = redaction.count
    if args.output == "-":
        sys.stdout.write(stream.getvalue().decode("utf-8"))
        sys.stdout.flush()
    else:
        place_file(
            Path(args.output),
            lambda file: shutil.copyfileobj(io.BytesIO(stream.getvalue()), file),
            force=args.force,
            private=args.keep_secrets,
        )
        print(safe_line(args.output))
    say_masked(masked)
    return 0
