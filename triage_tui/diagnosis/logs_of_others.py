"""Lines of logs that a person put beside a run, as facts: what a console, syslog or kernel said meanwhile.

Whose words they are is not known, so they are no messages of the program, and they change no confidence by
themselves. A hypothesis cites those that name what it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from triage_tui.diagnosis.facts import NEVER, Fact, Facts, FailedCall, LogLine, Source
from triage_tui.diagnosis.output import is_complaint
from triage_tui.errors import TriageError
from triage_tui.runs.added_logs import AddedLog, Place, places, read_index
from triage_tui.runs.log_contents import plain
from triage_tui.runs.reader import Run

MAX_LINES = 200
"""Lines of one log that are facts, the last ones."""
MAX_ALL = 1000
"""The same of all logs."""
MAX_CITED = 2
"""Lines that one hypothesis cites."""
_LEAST = 4
"""Characters of a name that is looked for."""


def log_lines(run: Run, steps_after: Mapping[int, int]) -> list[LogLine]:
    """Return the lines of added logs that could be lined up with the calls, log by log."""
    found: list[LogLine] = []
    for added in read_index(run).logs:
        found += _of_log(run, added, steps_after)
    return found[:MAX_ALL]


def _of_log(run: Run, added: AddedLog, steps_after: Mapping[int, int]) -> list[LogLine]:
    at = {number: place for number, place in places(run, added).items() if not place.outside}
    if not at:
        return []
    try:
        lines = run.text_file(added.file).split("\n")
    except TriageError:
        return []
    name = PurePosixPath(added.source).name[:60]
    kept = [number for number in sorted(at) if 0 < number <= len(lines)][-MAX_LINES:]
    return [
        _fact(added, name, number, text, at[number], steps_after)
        for number in kept
        if (text := plain(lines[number - 1]))
    ]


def _fact(
    added: AddedLog, name: str, number: int, text: str, place: Place, steps_after: Mapping[int, int]
) -> LogLine:
    exact = place.exact
    return LogLine(
        source=Source(kind="log", id=added.file.removeprefix("logs/"), line=number),
        says=f'the log {name} says "{text[:200]}"',
        cite=f'"{text[:120]}"',
        seq=place.first if exact else -1,
        steps=steps_after.get(place.first, NEVER) if exact else NEVER,
        text=text,
        log=name,
        error=is_complaint(text),
        by_content=bool(added.contents),
    )


def said_elsewhere(facts: Facts, subject: Fact) -> list[LogLine]:
    """Return the lines of added logs that name what a hypothesis is about, complaints first."""
    lines = [fact for fact in facts.of("log_line") if isinstance(fact, LogLine)]
    names = [re.escape(name) for name in _names(subject) if len(name) >= _LEAST]
    if not lines or not names:
        return []
    wanted = re.compile(rf"(?<![\w./-])(?:{'|'.join(names)})(?![\w/-])")
    found = [line for line in lines if wanted.search(line.text)]
    # Two logs may have the same words, such as a console and the file that it is kept in.
    # The line of which the call is known counts.
    ordered = sorted(found, key=lambda line: (not line.error, line.steps))
    return list({line.text: line for line in reversed(ordered)}.values())[::-1][:MAX_CITED]


def _names(subject: Fact) -> Iterator[str]:
    if isinstance(subject, FailedCall):
        peer = subject.peer.partition(":")[2]
        for name in (subject.path, subject.absolute, subject.interface, peer, peer.rpartition(":")[0]):
            yield name.rstrip("/")
