"""`triage-tui bench`: play labelled failures end to end without a person and say how far the rules get."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from triage_tui.cli.eval import MAX_JOBS, chosen_cases
from triage_tui.cli.output import print_json, print_table, say
from triage_tui.cli.story import cancelled_by_signals
from triage_tui.errors import Interrupted, TriageError
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
    parser.add_argument(
        "corpora", nargs="+", metavar="CORPUS.yaml", help="file of labelled cases (docs/evaluation.md)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="ID,...", help="only these cases (repeatable)"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=min(os.cpu_count() or 1, MAX_JOBS),
        metavar="N",
        help="cases that are played at the same time (default: as many as there are processors)",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="play every case again (default: what this very version played already is kept)",
    )
    parser.add_argument(
        "--compare", metavar="FILE", help="an earlier `bench --json`: say what is better and worse"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    form.add_argument("--markdown", action="store_true", help="print a Markdown document instead of tables")


def run(args: argparse.Namespace) -> int:
    """Play and print; 0 when every case could be played and no healthy program was changed, else 1."""
    if not 1 <= args.jobs <= MAX_JOBS:
        raise TriageError(f"--jobs takes 1 to {MAX_JOBS}, not {args.jobs}")
    earlier = read_report(Path(args.compare)) if args.compare else None
    corpus, cases = chosen_cases(args.corpora, args.only)
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
        if cancel.is_set():
            kept = sum(not one.problem for one in outcomes)
            again = "without --fresh the same command" if args.fresh else "the same command"
            say(f"interrupted: {kept} of {len(cases)} cases are kept; {again} goes on from there")
            raise Interrupted(cancel.number)
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
