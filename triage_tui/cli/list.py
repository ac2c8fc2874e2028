"""`triage-tui list`: the runs of a workspace, folded by story, newest first."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import cause_in_words, print_json, print_table, say, summary_fields
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.foreign import looked_into
from triage_tui.runs.listing import Form, list_runs
from triage_tui.runs.stories import ORDERS, Entry, fold, group, ordered, scores, story_of
from triage_tui.text import number_of, safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--waiting", action="store_true", help="only runs whose frozen guest waits for a decision"
    )
    folding = parser.add_mutually_exclusive_group()
    folding.add_argument(
        "--fold",
        action="store_true",
        default=None,
        help="runs of the same target and cause as one row, the newest (default without --json)",
    )
    folding.add_argument(
        "--unfold",
        dest="fold",
        action="store_false",
        help="every run, those of a story below its newest (default with --json)",
    )
    parser.add_argument(
        "--sort", choices=ORDERS, default="newest", help="order of the list (default: newest; score: urgent)"
    )
    parser.add_argument(
        "-n", "--limit", type=int, default=0, metavar="N", help="at most N rows (default: all)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    workspace = Workspace.at(args.workspace)
    left = workspace.take_in(TAKING_IN_S)
    known = list_runs(workspace.runs_dir)
    stories = group(known)
    score = scores(stories)
    shown = group(run for run in ordered(known, args.sort) if run.waiting or not args.waiting)
    folded = not args.json if args.fold is None else args.fold
    if args.json and not folded:
        # A script wants them one by one, in the order that it named.
        rows = [Entry(run) for run in ordered(known, args.sort) if run.waiting or not args.waiting]
    else:
        rows = fold(shown, () if folded else shown)
    if args.limit > 0:
        rows = rows[: args.limit]
    if args.json:
        for row in rows:
            story = story_of(row.run)
            seen = len(stories[story])
            told = {"story": story, "seen": seen, "folded": row.folded, "score": score[story]}
            print_json({**summary_fields(row.run, workspace.runs_dir), **told})
        return 0
    if not rows:
        say(f"no runs in {safe_line(', '.join(looked_into(workspace.runs_dir)), 500)}")
        return 0
    header = ["RUN", "STATE", "SEEN", "SCORE", "PROGRAM", "ARCH", "STOPPED BY", "CAUSE", "PROBLEM"]
    print_table(header, [_row(row, score[story_of(row.run)]) for row in rows])
    hidden = sum(row.folded for row in rows)
    if hidden:
        more = number_of(hidden, "more run")
        say(f"{more} of the same targets and causes: --unfold shows them")
    if left:
        runs = number_of(left, "run of SFEmu is", "runs of SFEmu are")
        say(f"{runs} not diagnosed yet: the next list goes on, and a run that is shown is read at once")
    return 0


TAKING_IN_S = 2.0
"""How long runs of SFEmu are read before those that there are by then are listed."""
FORMS: dict[Form, str] = {
    "writing": "writing",
    "unreadable": "unreadable",
    "newer": "newer version",
    "sfemu": "of SFEmu",
}
"""What is shown in place of the state where that is not known, or not all of it."""


def _row(row: Entry, score: int) -> list[str]:
    entry = row.run
    cause = cause_in_words(entry.signature[:60] or entry.cause, entry.confidence)
    state = FORMS.get(entry.form) or (f"{entry.state}, waiting" if entry.waiting else entry.state)
    if entry.reopened:
        state += ", reopened"
    command = " ".join(entry.argv)[:48] or entry.name
    return [
        ("  " if row.inside else "") + entry.run_id,
        state,
        f"\N{MULTIPLICATION SIGN}{row.folded + 1}" if row.folded else "",
        "" if row.inside else str(score),
        command,
        entry.arch or "-",
        entry.reason,
        cause,
        entry.problem or "",
    ]
