"""The audit log as rows: what a check of it found, then the decisions, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.rulebook.audit.check import Checked
from triage_tui.rulebook.audit.log import Entry
from triage_tui.rulebook.audit.words import outcome, sentence
from triage_tui.text import safe_line
from triage_tui.ui.rows import BLANK, Row, short, wrapped

MAX_ENTRIES = 500
"""Newest entries that are shown; the command shows all."""
_ROLES = {
    "approved": "good",
    "activated": "good",
    "rejected": "bad",
    "rolled_back": "warn",
    "withdrawn": "warn",
    "distrusted": "warn",
}


def log_rows(entries: Sequence[Entry], found: Checked, width: int) -> list[Row]:
    """Return the rows."""
    rows = wrapped(safe_line(outcome(found), 300), width, "good" if found.whole else "bad", 1)
    for problem in found.problems:
        rows += wrapped(safe_line(problem, 600), width, "bad", 3)
    for told in found.notes:
        rows += wrapped(safe_line(told, 600), width, "muted", 3)
    if len(entries) > MAX_ENTRIES:
        text = f"{len(entries) - MAX_ENTRIES} older lines are shown by `triage-tui audit show`."
        rows += wrapped(text, width, "muted", 1)
    for entry in reversed(entries[-MAX_ENTRIES:]):
        rows += [BLANK, *_entry_rows(entry, width)]
    return rows


def _entry_rows(entry: Entry, width: int) -> list[Row]:
    when = safe_line(entry.wall[:19].replace("T", " "), 19)
    rows = wrapped(
        f"{entry.number}  {when}  {safe_line(sentence(entry), 400)}",
        width,
        _ROLES.get(entry.kind, "strong"),
        1,
    )
    if entry.says:
        rows += wrapped(safe_line(entry.says, 1000), width, "", 5)
    for name, digest in entry.rules.items():
        rows += wrapped(f"{safe_line(name, 200)}  sha256 {short(digest, 12)}", width, "muted", 5)
    return rows
