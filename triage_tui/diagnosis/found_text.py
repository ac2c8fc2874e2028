"""What the program said elsewhere than on its output: to the system log, or into a file.

Two experiments find it: a rule that watches calls logs what they send (`observe_data` of rules/templates),
and a window of memory around the stack may hold the line that syslog(3) made ready and could not send.
"""

from __future__ import annotations

import re

from triage_tui.diagnosis.facts import Message, Source
from triage_tui.diagnosis.output import is_complaint
from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run

RULES_LOG = "rules.log"
MAX_LINES = 60
_OBSERVED = re.compile(r"\bobserved \w+ fd \d+: (.+)")
_PRIORITY = re.compile(r"^<\d{1,3}>")
# RFC 3164: priority, time stamp, tag. The C libraries write the time in the C locale.
_SYSLOG = re.compile(
    rb"<(\d{1,3})>(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?([\x20-\x7e]{1,64}?): ?([\x20-\x7e]{4,400})"
)
MOST_URGENT_KEPT = 4
"""Severity of a log line up to which it complains: 3 is an error, 4 a warning (RFC 3164, table 2)."""


def found_messages(run: Run) -> list[Message]:
    """Return the lines that experiments found, oldest first; none for a run without any."""
    return _observed(run) + _in_memory(run)


def _observed(run: Run) -> list[Message]:
    if not any(hit.rule.startswith("observe-") for hit in run.snapshot.rule_hits):
        return []
    try:
        text = run.text_file(f"logs/{RULES_LOG}")
    except TriageError:
        return []
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        match = _OBSERVED.search(line)
        if match is not None and (said := _PRIORITY.sub("", match[1]).strip()):
            found.append(_message(said, Source(kind="log", id=RULES_LOG, line=number), "a call sent"))
    return found[-MAX_LINES:]


def _in_memory(run: Run) -> list[Message]:
    found: dict[str, Message] = {}
    for entry in run.snapshot.memory:
        if entry.tag != "window":
            continue
        try:
            data = run.memory_bytes(entry.id)
        except TriageError:
            continue
        for match in _SYSLOG.finditer(data):
            if int(match[1]) > 191 or int(match[1]) % 8 > MOST_URGENT_KEPT:
                continue
            said = match[3].decode("ascii").strip()
            found.setdefault(
                said, _message(said, Source(kind="mem", id=entry.id), "its memory holds the log line")
            )
    return list(found.values())[-MAX_LINES:]


def _message(text: str, source: Source, how: str) -> Message:
    return Message(
        source=source,
        says=f'{how} "{text[:200]}"',
        cite=f'"{text[:120]}"',
        steps=0,
        text=text,
        stream="syslog",
        error=is_complaint(text),
    )
