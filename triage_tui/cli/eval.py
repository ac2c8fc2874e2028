"""`triage-tui eval`: run labelled failures of real programs and say how often the diagnosis is right."""

from __future__ import annotations

import argparse
from pathlib import Path

from triage_tui.cli.corpora import add_corpus_arguments, print_tables, with_cases
from triage_tui.cli.output import print_json, say
from triage_tui.evaluation.calibrating import as_entries_say, fit, samples_of, write_calibration
from triage_tui.evaluation.evaluate import evaluate
from triage_tui.evaluation.summary import report
from triage_tui.evaluation.tables import calibration_rows, case_rows, cause_rows, fit_sentences, sentences


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_corpus_arguments(parser, 1, "run every case again (default: a run that is kept is only diagnosed)")
    parser.add_argument(
        "--roots",
        action="store_true",
        help="make the root file systems of the kept runs again, to read their code and to retry them",
    )
    parser.add_argument(
        "--calibrate",
        metavar="FILE",
        help="fit what confidences mean to these cases, say what that is worth, and write it into FILE",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; 0 when every case was run, 1 when one could not be."""
    results = with_cases(args, evaluate, lambda one: one.run is not None, "runs", roots=args.roots)
    if args.calibrate is not None:
        found = fit(samples_of(as_entries_say(results)))
        write_calibration(Path(args.calibrate), found, [Path(name) for name in args.corpora])
        for line in fit_sentences(found):
            say(line)
    if args.json:
        print_json(report(results))
    else:
        tables = (case_rows(results), cause_rows(results), calibration_rows(results))
        print_tables(tables, sentences(results))
    return 1 if any(result.best is None for result in results) else 0
