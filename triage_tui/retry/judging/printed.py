"""What a program printed that it did not print in the run before."""

from __future__ import annotations

import re
from typing import NamedTuple

from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run

MAX_OUTPUT_BYTES = 1 << 20
_USAGE = re.compile(r"(?i)^\s*usage:|\busage: \S|^\s*try [`'\"].{1,80} --?h(elp)?\b")


class Printed(NamedTuple):
    """A line of the output, raw text, and its number from 1 on."""

    text: str
    line: int


def new_output(before: Run, after: Run) -> Printed | None:
    """Return the first line that only the later run printed, numbers aside."""
    known = {re.sub(r"\d+", "#", one.text) for one in _output(before)}
    return next((one for one in _output(after) if re.sub(r"\d+", "#", one.text) not in known), None)


def usage_now(before: Run, after: Run) -> Printed | None:
    """Return the line with which a program explains its arguments, where it did not do so before."""
    if any(_USAGE.search(one.text[:400]) for one in _output(before)):
        return None
    return next((one for one in _output(after) if _USAGE.search(one.text[:400])), None)


def _output(run: Run) -> list[Printed]:
    try:
        text = run.text_file(run.snapshot.guest_output, MAX_OUTPUT_BYTES)
    except TriageError:
        return []
    return [Printed(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
