"""The logs of a run beside its output, each line with the call at which it was written."""

from __future__ import annotations

import bisect
import os
from pathlib import PurePosixPath

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.added_logs import AddedLog, in_words, places, read_index, without_colours
from triage_tui.runs.completeness import SFEMU
from triage_tui.runs.model import LogFile, Syscall
from triage_tui.runs.printed_text import offsets_of_lines
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import RULES_LOG, SUPERVISOR_LOG
from triage_tui.text import number_of, safe_line

MAX_LINES = 2000
"""Lines of one log that are shown, the last ones."""
MAX_LINE = 600
_MAX_LOGS = 32


class ShownLog(msgspec.Struct):
    """One log, safe to show."""

    file: str
    """Its name below `logs/`."""
    heading: str
    """What it is, in one line."""
    rows: list[tuple[int, str, str]] = msgspec.field(default_factory=list)
    """Number of the line, where in the trace it belongs ("#20", "" for unknown), its text."""

    @property
    def lines(self) -> list[str]:
        """The rows as text."""
        width = max((len(at) for _number, at, _text in self.rows), default=0)
        return [f"{at:>{width}}  {text}" if width else text for _number, at, text in self.rows]


def shown_logs(run: Run) -> list[ShownLog]:
    """Return what the guest logged, what a person added, what went wrong in the supervision, and what rules
    logged.
    """
    found = []
    for entry in run.snapshot.logs[:_MAX_LOGS]:
        found.append(_guest_log(run, entry))
    for added in read_index(run).logs[:_MAX_LOGS]:
        found.append(_added_log(run, added))
    for name in (*_sfemu_logs(run), SUPERVISOR_LOG, RULES_LOG):
        if (run.dir / "logs" / name).is_file():
            text = run.text_file(f"logs/{name}").removesuffix("\n")
            rows = [
                (number, "", safe_line(line, MAX_LINE)) for number, line in enumerate(text.split("\n"), 1)
            ]
            found.append(ShownLog(name, f"logs/{name}", rows[-MAX_LINES:]))
    return found


def _sfemu_logs(run: Run) -> list[str]:
    """Return the names of the logs that SFEmu kept of a run that was taken in from there."""
    if run.snapshot.engine.name != SFEMU:
        return []
    try:
        return sorted(name for name in os.listdir(run.dir / "logs") if name.startswith("sfemu-"))[:_MAX_LOGS]
    except OSError:
        return []


def added_rows(run: Run, added: AddedLog) -> list[tuple[int, str, str]]:
    """Return the last rows of an added log: number, where in the trace the line belongs, its text.

    Raises:
        TriageError: it cannot be read.
    """
    at = places(run, added)
    lines = without_colours(run.text_file(added.file)).removesuffix("\n").split("\n")
    first = max(0, len(lines) - MAX_LINES)
    return [
        (number, str(at[number]) if number in at else "", safe_line(line, MAX_LINE))
        for number, line in enumerate(lines[first:], first + 1)
    ]


def _added_log(run: Run, added: AddedLog) -> ShownLog:
    shown = ShownLog(PurePosixPath(added.file).name, in_words(run, added))
    try:
        shown.rows += added_rows(run, added)
    except TriageError as error:
        shown.rows.append((0, "", safe_line(str(error), MAX_LINE)))
    return shown


def heading_of(entry: LogFile) -> str:
    """Say in a line what a log of the guest's is."""
    what = "what it said to its system log" if entry.stream == "syslog" else safe_line(entry.path, 200)
    words = f"{safe_line(entry.file, 120)}: {what}, {number_of(entry.size, 'byte')}"
    return (
        f"{words}; which call wrote what is not known: {safe_line(entry.unclear, 200)}"
        if entry.unclear
        else words
    )


def places_of(run: Run, entry: LogFile, calls: list[Syscall]) -> list[tuple[bytes, int]]:
    """Return the lines of a log of the guest's, each with the number of the call that finished it, or -1.

    Raises:
        TriageError: it cannot be read.
    """
    placed = sorted(
        (call.printed.offset + call.printed.size, call.seq)
        for call in calls
        if call.printed is not None and call.printed.stream == entry.stream
    )
    ends = [end for end, _seq in placed]
    found = []
    for raw, end in offsets_of_lines(run.text_bytes(entry.file)):
        at = bisect.bisect_left(ends, end)
        found.append((raw, placed[at][1] if at < len(placed) else -1))
    return found


def _guest_log(run: Run, entry: LogFile) -> ShownLog:
    shown = ShownLog(PurePosixPath(entry.file).name, heading_of(entry))
    try:
        lines = places_of(run, entry, run.trace())
    except TriageError as error:
        shown.rows.append((0, "", safe_line(str(error), MAX_LINE)))
        return shown
    if lines and not lines[-1][0]:
        lines.pop()
    shown.rows += [
        (number, f"#{seq}" if seq >= 0 else "", safe_line(raw.decode("utf-8", "backslashreplace"), MAX_LINE))
        for number, (raw, seq) in enumerate(lines, 1)
    ][-MAX_LINES:]
    return shown
