"""`triage-tui sfemu-ai`: diagnose a stop for SFEmu, as the tool that its setting SFEMU_AI_CMD names."""

from __future__ import annotations

import argparse
from pathlib import Path

from triage_tui.cli.output import say
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.errors import TriageError
from triage_tui.exit_codes import DONE

SNAPSHOT_UNREADABLE, NO_ANSWER, WRITE_FAILED = 3, 4, 6
"""Exit statuses of SFEmu's own tool, which stand here in place of those of other commands."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, in the order in which SFEmu gives them."""
    parser.add_argument("snapshot", help="snapshot.json of a run, of any version of SFEmu")
    parser.add_argument("patch_dir", help="its rules_patch directory")
    parser.add_argument(
        "env", help="settings of SFEmu (config/env); SFEMU_TRIAGE_MODEL=1 has the model asked too"
    )


def run(args: argparse.Namespace) -> int:
    """Diagnose and answer."""
    from triage_tui.retry.sfemu_answer import NoAnswer, Unreadable, answer
    from triage_tui.sfemu.answering import WriteFailed, write_answer

    try:
        with cancelled_by_signals() as cancel:
            told = answer(Path(args.snapshot), Path(args.env), tell=say, cancel=cancel)
        write_answer(Path(args.patch_dir), told)
    except TriageError as error:
        statuses = {Unreadable: SNAPSHOT_UNREADABLE, NoAnswer: NO_ANSWER, WriteFailed: WRITE_FAILED}
        if type(error) not in statuses:
            raise
        say(str(error))
        return statuses[type(error)]
    say(f"{len(told.fix)} fix and {len(told.observe)} observe rules in {args.patch_dir}")
    return DONE
