"""`triage-tui bench`: play labelled failures end to end without a person and say how far the rules get."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from triage_tui.cli.corpora import MAX_JOBS, add_corpus_arguments, print_tables, with_cases
from triage_tui.cli.output import print_json, say
from triage_tui.evaluation.bench import bench
from triage_tui.evaluation.bench_summary import (
    case_rows,
    cause_rows,
    changes,
    markdown,
    read_report,
    report,
    sentences,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    jobs = min(os.cpu_count() or 1, MAX_JOBS)
    fresh = "play every case again (default: what this very version played already is kept)"
    add_corpus_arguments(parser, jobs, fresh)
    parser.add_argument(
        "--compare", metavar="FILE", help="an earlier `bench --json`: say what is better and worse"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    form.add_argument("--markdown", action="store_true", help="print a Markdown document instead of tables")


def run(args: argparse.Namespace) -> int:
    """Play and print; 0 when every case could be played and no healthy program was changed, else 1."""
    earlier = read_report(Path(args.compare)) if args.compare else None
    outcomes = with_cases(args, bench, lambda one: not one.problem, "cases")
    compared = changes(outcomes, earlier) if earlier is not None else None
    for line in compared or ():
        say(line)
    if args.json:
        print_json(report(outcomes, compared))
    elif args.markdown:
        print(markdown(outcomes, compared), end="")
    else:
        print_tables((case_rows(outcomes), cause_rows(outcomes)), sentences(outcomes))
    return 1 if any(one.problem or one.touched for one in outcomes) else 0
