"""`triage-tui edit`: change the text of a rule that a run proposes, in an editor or from a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from triage_tui.cli.results import Decided, state_of, tell
from triage_tui.errors import TriageError
from triage_tui.exit_codes import DONE, NO
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.rules.proposed import best_proposal
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches
from triage_tui.rulebook.hunks import digest_of
from triage_tui.runs.files import read_bounded
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line
from triage_tui.ui.editing import MAX_EDIT_BYTES, edit_outside, forget_draft


class Edited(Decided, kw_only=True):
    """An edit of a proposed rule file. With a `problem` the text is kept, but cannot be approved."""

    file: str
    sha256: str
    changed: bool
    problem: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument(
        "what", nargs="?", metavar="what", help="proposal id or rule file (default: of the best proposal)"
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="the new text, - for standard input (default: $VISUAL or $EDITOR is opened)",
    )
    parser.add_argument(
        "--expect",
        default="",
        metavar="SHA256",
        help="refuse where the text is another by now; `show RUN --section patch --json` tells it",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Edit; 1 when the new text is kept but cannot be approved as it is."""
    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    name = _file(record, args.what)
    before = patches.read_rule(record.dir, name)
    text = _edited(args.source, before, name, record.run_id)
    actions = LocalActions(workspace)
    if text is None:
        said, changed = "nothing was changed", False
    else:
        said = actions.save_edit(record.run_id, name, text, args.expect.lower() or digest_of(before))
        changed = True
        if args.source is None:
            forget_draft(record.run_id, name, before.decode("utf-8", "surrogateescape"))
    problem = actions.why_not(record.run_id, name)
    result = Edited(
        run_id=record.run_id,
        state=state_of(workspace, record.run_id),
        said=[said],
        file=name,
        sha256=digest_of(patches.read_rule(record.dir, name)),
        changed=changed,
        problem=problem,
    )
    tell(args, result)
    return DONE if problem is None else NO


def _file(record: Run, what: str | None) -> str:
    """Return the rule file that is meant: by its name, or the only one of a proposal."""
    files = record.patch_files()
    if what in files:
        return what
    proposals = record.diagnosis.proposals if record.diagnosis else []
    if what is None:
        meant = files if len(files) == 1 else best_proposal(record).files
    else:
        meant = next((proposal.files for proposal in proposals if proposal.id == what), [])
        if not meant:
            raise TriageError(
                f"run {record.run_id} has no proposal and no rule file {safe_line(what, 80)!r}:"
                f" `triage-tui show {record.run_id} --section patch` lists them"
            )
    if len(meant) != 1:
        raise TriageError(f"say which file is edited: {safe_line(', '.join(meant), 400)}")
    return meant[0]


def _edited(source: str | None, before: bytes, name: str, run_id: str) -> str | None:
    """Return the new text, None when it is the old one."""
    if source is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise TriageError(
                "an editor needs a terminal: without one give the new text with --from FILE, or --from -"
            )
        return edit_outside(before.decode("utf-8", "surrogateescape"), name, run_id)
    if source == "-":
        data = sys.stdin.buffer.read(MAX_EDIT_BYTES + 1)
    else:
        data = read_bounded(Path(source), MAX_EDIT_BYTES + 1)
    if len(data) > MAX_EDIT_BYTES:
        raise TriageError(f"the new text has more than {MAX_EDIT_BYTES} bytes, so nothing was changed")
    return None if data == before else data.decode("utf-8", "surrogateescape")
