"""`triage-tui eval`: run labelled failures of real programs and say how often the diagnosis is right."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.cli.story import cancelled_by_signals
from triage_tui.errors import Interrupted, TriageError
from triage_tui.evaluation.calibrating import as_entries_say, fit, samples_of, write_calibration
from triage_tui.evaluation.capture import engine_of
from triage_tui.evaluation.corpus import Case, Corpus, chosen, load_corpus
from triage_tui.evaluation.evaluate import evaluate
from triage_tui.evaluation.summary import report
from triage_tui.evaluation.tables import calibration_rows, case_rows, cause_rows, fit_sentences, sentences
from triage_tui.setup import ensure_qemu

MAX_JOBS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "corpora", nargs="+", metavar="CORPUS.yaml", help="file of labelled cases (docs/evaluation.md)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="ID,...", help="only these cases (repeatable)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cases that are run at the same time (default 1)"
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="run every case again (default: a run that is kept is only diagnosed)",
    )
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


def chosen_cases(corpora: Sequence[str], only: Sequence[str]) -> tuple[Corpus, list[Case]]:
    """Read files of labelled cases, say what is wrong with them, and return them and the wanted cases.

    Raises:
        TriageError: a file cannot be read, or there is no such case.
    """
    corpus = load_corpus(*map(Path, corpora))
    for sentence in (*corpus.left_out, *corpus.mistakes.values()):
        say(sentence)
    wanted = [name for entry in only for name in entry.split(",") if name]
    if only and not wanted:
        raise TriageError("--only takes the ids of cases, separated by commas")
    return corpus, chosen(corpus.cases, wanted)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; 0 when every case was run, 1 when one could not be."""
    if not 1 <= args.jobs <= MAX_JOBS:
        raise TriageError(f"--jobs takes 1 to {MAX_JOBS}, not {args.jobs}")
    corpus, cases = chosen_cases(args.corpora, args.only)
    with cancelled_by_signals() as cancel:
        results = evaluate(
            cases,
            engine_of(ensure_qemu(say)),
            cancel,
            mistakes=corpus.mistakes,
            jobs=args.jobs,
            fresh=args.fresh,
            roots=args.roots,
            progress=say,
        )
        if cancel.is_set():
            kept = sum(result.run is not None for result in results)
            again = "without --fresh the same command" if args.fresh else "the same command"
            say(f"interrupted: {kept} of {len(cases)} runs are kept; {again} goes on from there")
            raise Interrupted(cancel.number)
    if args.calibrate is not None:
        found = fit(samples_of(as_entries_say(results)))
        write_calibration(Path(args.calibrate), found, [Path(name) for name in args.corpora])
        for line in fit_sentences(found):
            say(line)
    if args.json:
        print_json(report(results))
    else:
        print_table(*case_rows(results))
        print()
        print_table(*cause_rows(results))
        print()
        print_table(*calibration_rows(results))
        print()
        for line in sentences(results):
            print(line)
    return 1 if any(result.best is None for result in results) else 0
