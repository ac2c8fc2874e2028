"""`triage-tui campaign report`: what a campaign came to, as Markdown, HTML or JSON."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path
from typing import Any

from triage_tui.campaign.record import campaign_dir, read_campaign
from triage_tui.campaign.report import Report, earlier, make_report, masked, redaction_of
from triage_tui.cli.output import add_language, print_json, say, say_masked
from triage_tui.errors import TriageError
from triage_tui.export.placing import place_file
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.redaction import Redaction
from triage_tui.text import safe_line

FORMATS = ("md", "html", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "campaign", metavar="CAMPAIGN", help="id of a campaign, a unique ending of it, or `last`"
    )
    parser.add_argument(
        "--compare",
        metavar="CAMPAIGN",
        default="",
        help="an earlier campaign to hold it against (default: the one that it was begun with)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="md",
        help="md: Markdown (default); html: one file that needs no other; json: all figures and targets",
    )
    add_language(parser)
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="file (default: standard output)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--keep-secrets", action="store_true", help="mask nothing; a file is then for its owner only"
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    """Write the report."""
    workspace = Workspace.at(args.workspace)
    if args.output == "":
        raise TriageError("-o needs the name of a file, or - for standard output")
    state = read_campaign(campaign_dir(workspace.root, args.campaign))
    before = None
    try:
        before = earlier(workspace.root, state, args.compare)
    except TriageError as error:
        if args.compare:
            raise
        say(f"not compared: {error}")
    report = make_report(state, before)
    redaction = redaction_of(state, off=args.keep_secrets)
    wanted = "json" if args.json else args.format
    if wanted == "json":
        values = masked(report, redaction)
        if args.output == "-":
            print_json(values)
        else:
            _place(args, values)
    else:
        text = _text(report, redaction, wanted, args.lang)
        if args.output == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            _place(args, text)
    say_masked(redaction.count)
    return 0


def _text(report: Report, redaction: Redaction, wanted: str, code: str | None) -> str:
    from triage_tui.campaign.document import make_document
    from triage_tui.language.catalogue import ENGLISH
    from triage_tui.language.choice import wanted_language

    language = wanted_language(code)
    document = make_document(report, redaction)
    if language.code != ENGLISH:
        from triage_tui.export.translating import translated

        document = translated(document, language)
    if wanted == "html":
        from triage_tui.export.html import render_html as render
    else:
        from triage_tui.export.markdown import render_markdown as render
    return render(document, language)


def _place(args: argparse.Namespace, content: Any) -> None:
    from triage_tui.runs.writer import encode_json

    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else encode_json(content)
    place_file(
        Path(args.output),
        lambda file: shutil.copyfileobj(io.BytesIO(data), file),
        force=args.force,
        private=args.keep_secrets,
    )
    print(safe_line(args.output))
