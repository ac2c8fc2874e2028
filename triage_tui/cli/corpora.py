"""What the commands over files of labelled failures share: options, the choice of cases, interruption."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from triage_tui.cli.output import say
from triage_tui.cli.rounds import SignalEvent
from triage_tui.errors import Interrupted, TriageError
from triage_tui.evaluation.corpus import Case, Corpus, chosen, load_corpus

MAX_JOBS = 64


def add_corpus_arguments(parser: argparse.ArgumentParser, jobs: int, fresh: str) -> None:
    """Declare which cases, how many at a time (`jobs` by default), and what `--fresh` does in words."""
    parser.add_argument(
        "corpora", nargs="+", metavar="CORPUS.yaml", help="file of labelled cases (docs/evaluation.md)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="ID,...", help="only these cases (repeatable)"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=jobs,
        metavar="N",
        help=f"cases that are run at the same time (default {jobs})",
    )
    parser.add_argument("--fresh", action="store_true", help=fresh)


def chosen_cases(args: argparse.Namespace) -> tuple[Corpus, list[Case]]:
    """Read the files, say what is wrong with them, and return them and the wanted cases.

    Raises:
        TriageError: a file cannot be read, there is no such case, or no such number of jobs.
    """
    if not 1 <= args.jobs <= MAX_JOBS:
        raise TriageError(f"--jobs takes 1 to {MAX_JOBS}, not {args.jobs}")
    corpus = load_corpus(*map(Path, args.corpora))
    for sentence in (*corpus.left_out, *corpus.mistakes.values()):
        say(sentence)
    wanted = [name for entry in args.only for name in entry.split(",") if name]
    if args.only and not wanted:
        raise TriageError("--only takes the ids of cases, separated by commas")
    return corpus, chosen(corpus.cases, wanted)


def end_if_cancelled(cancel: SignalEvent, kept: Sequence[bool], what: str, fresh: bool) -> None:
    """Say how many of the `what` are kept when a person ended the command.

    Raises:
        Interrupted: a person did.
    """
    if cancel.is_set():
        again = "without --fresh the same command" if fresh else "the same command"
        say(f"interrupted: {sum(kept)} of {len(kept)} {what} are kept; {again} goes on from there")
        raise Interrupted(cancel.number)
