"""One sentence of a verdict, and the link to what it rests on."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from triage_tui.errors import TriageError
from triage_tui.runs.evidence import Kind, make_link
from triage_tui.runs.reader import Run


class Reason(NamedTuple):
    """A sentence without a final full stop, and an evidence link into the run that is judged, "" for none."""

    says: str
    link: str = ""


def cited(run: Run, kind: Kind, id: object, line: int | None = None) -> str:
    """Return a link to evidence of `run`, "" where it has no such evidence."""
    with contextlib.suppress(TriageError):
        return make_link(run, kind, id, line=line)
    return ""


def cited_end(run: Run) -> str:
    """Return a link to the call at which a run stopped, "" where the record does not have it."""
    return cited(run, "syscall", run.snapshot.trigger.seq)
