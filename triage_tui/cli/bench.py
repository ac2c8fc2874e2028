"""`triage-tui bench`: play labelled failures end to end without a person and say how far the rules get."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from triage_tui.cli.corpora import MAX_JOBS, add_corpus_arguments, chosen_cases, end_if_cancelled
from triage_tui.cli.output import print_json, print_table, say
from triage_tui.cli.rounds import cancelled_by_signals
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
from triage_tui.evaluation.capture import engine_of
from triage_tui.setup import ensure_qemu


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
    corpus, cases = chosen_cases(args)
    with cancelled_by_signals() as cancel:
        outcomes = bench(
            cases,
            engine_of(ensure_qemu(say)),
            cancel,
            mistakes=corpus.mistakes,
            jobs=args.jobs,
            fresh=args.fresh,
            progress=say,
        )
        end_if_cancelled(cancel, [not one.problem for one in outcomes], "cases", args.fresh)
    for line in changes(outcomes, earlier) if earlier is not None else []:
        say(line)
    if args.json:
        print_json(report(outcomes))
    elif args.markdown:
        print(markdown(outcomes), end="")
    else:
        print_table(*case_rows(outcomes))
        print()
        print_table(*cause_rows(outcomes))
        print()
        for line in sentences(outcomes):
            print(line)
    return 1 if any(one.problem or one.touched for one in outcomes) else 0
