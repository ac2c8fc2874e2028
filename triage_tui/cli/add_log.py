"""`triage-tui add-log`: put a log from elsewhere beside a run, lined up with its calls by time or content."""

from __future__ import annotations

import argparse
from pathlib import Path

from triage_tui.cli.output import print_json, say
from triage_tui.errors import TriageError
from triage_tui.exit_codes import DONE, REFUSED
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.added_logs import read_index
from triage_tui.runs.adding_logs import add_log, told
from triage_tui.runs.log_times import zone_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument("file", nargs="+", help="a log: syslog, dmesg, or any text with times in its lines")
    parser.add_argument(
        "--zone",
        metavar="ZONE",
        help="zone of times that do not say theirs: +02:00, UTC, Europe/Berlin (default: this machine's)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Add the logs, in order; one that cannot be added does not stop the others."""
    record = Workspace.at(args.workspace).load(args.run)
    try:
        zone = zone_of(args.zone) if args.zone is not None else None
    except ValueError as error:
        raise TriageError(str(error)) from error
    added, says, refused = [], [], []
    at_first = read_index(record)
    for name in args.file:
        before = read_index(record)
        try:
            added.append(add_log(record, Path(name), zone))
            says.append(told(record, before, added[-1]))
        except TriageError as error:
            refused.append(str(error))
    if args.json:
        print_json({"run": record.run_id, "added": added, "refused": refused})
    else:
        for text in says:
            say(text)
        new = [log for log in added if log not in at_first.logs]
        if any(not log.why for log in new) and record.diagnosis is not None:
            say(f"`triage-tui diagnose {record.run_id}` takes this into account")
    for text in refused:
        say(f"triage-tui: {text}")
    return REFUSED if refused else DONE
