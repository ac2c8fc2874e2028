"""What the commands over files of labelled failures share: options, the choice of cases, interruption."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from triage_tui.cli.output import print_table, say
from triage_tui.cli.rounds import SignalEvent, cancelled_by_signals
from triage_tui.errors import Interrupted, TriageError
from triage_tui.evaluation.capture import engine_of
from triage_tui.evaluation.corpus import chosen, load_corpus
from triage_tui.evaluation.tables import Table
from triage_tui.setup import ensure_qemu

MAX_JOBS = 64

T = TypeVar("T")


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


def with_cases(
    args: argparse.Namespace,
    do: Callable[..., list[T]],
    is_kept: Callable[[T], bool],
    what: str,
    **options: bool,
) -> list[T]:
    """Read the files, say what is wrong with them, and return what `do` finds of the wanted cases.

    `do` is `bench` or `evaluate`, which takes `options` besides what the commands share. A person can end it;
    then is said how many of the `what` are kept.

    Raises:
        TriageError: a file cannot be read, there is no such case, or no such number of jobs.
        Interrupted: a person ended it.
    """
    if not 1 <= args.jobs <= MAX_JOBS:
        raise TriageError(f"--jobs takes 1 to {MAX_JOBS}, not {args.jobs}")
    corpus = load_corpus(*map(Path, args.corpora))
    for sentence in (*corpus.left_out, *corpus.mistakes.values()):
        say(sentence)
    wanted = [name for entry in args.only for name in entry.split(",") if name]
    if args.only and not wanted:
        raise TriageError("--only takes the ids of cases, separated by commas")
    cases = chosen(corpus.cases, wanted)
    with cancelled_by_signals() as cancel:
        found = do(
            cases,
            engine_of(ensure_qemu(say)),
            cancel,
            mistakes=corpus.mistakes,
            jobs=args.jobs,
            fresh=args.fresh,
            progress=say,
            **options,
        )
        _end_if_cancelled(cancel, [is_kept(one) for one in found], what, args.fresh)
    return found


def print_tables(tables: Iterable[Table], sentences: Iterable[str]) -> None:
    """Print tables, with an empty line behind each, and then sentences."""
    for table in tables:
        print_table(*table)
        print()
    for line in sentences:
        print(line)


def _end_if_cancelled(cancel: SignalEvent, kept: Sequence[bool], what: str, fresh: bool) -> None:
    """Say how many of the `what` are kept when a person ended the command.

    Raises:
        Interrupted: a person did.
    """
    if cancel.is_set():
        again = "without --fresh the same command" if fresh else "the same command"
        say(f"interrupted: {sum(kept)} of {len(kept)} {what} are kept; {again} goes on from there")
        raise Interrupted(cancel.number)
