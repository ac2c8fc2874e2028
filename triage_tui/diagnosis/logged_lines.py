"""What the program said in files of its own and to the system log, each line with the call that wrote it."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from triage_tui.diagnosis.facts import NEVER, Message, Source
from triage_tui.diagnosis.output import MAX_LINE_BYTES, is_complaint
from triage_tui.errors import TriageError
from triage_tui.runs.model import LogFile, Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.shown_logs import places_of

MAX_LINES = 200
"""Lines of one log that are read, counted from its end."""
# What stands before the words: the priority, the time and the program's name (RFC 3164).
_HEAD = re.compile(r"^<(\d{1,3})>(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?(?:[^\s:]{1,64}: )?")
_MOST_URGENT = 4
"""Severity up to which a line complains whatever its words are: 3 is an error, 4 a warning."""


def logged_messages(run: Run, calls: list[Syscall], steps_after: Mapping[int, int]) -> list[Message]:
    """Return the lines of the logs of `run`, in the order of the calls that wrote them."""
    writers: dict[str, list[Syscall]] = {}
    for call in calls:
        if call.printed is not None:
            writers.setdefault(call.printed.stream, []).append(call)
    streams = [
        _keyed(_of_file(run, entry, writers.get(entry.stream, []), steps_after))
        for entry in run.snapshot.logs[:32]
        if entry.is_log
    ]
    return [message for _key, message in heapq.merge(*streams, key=lambda pair: pair[0])]


def in_order(*streams: list[Message]) -> list[Message]:
    """Merge messages of several streams by the calls that wrote them; where that is unknown they stay put."""
    merged = heapq.merge(*map(_keyed, streams), key=lambda pair: pair[0])
    return [message for _key, message in merged]


def _keyed(messages: Iterable[Message]) -> Iterator[tuple[int, Message]]:
    last = -1
    for message in messages:
        last = max(last, message.seq)
        yield last, message


def _of_file(
    run: Run, entry: LogFile, writers: list[Syscall], steps_after: Mapping[int, int]
) -> list[Message]:
    try:
        lines = places_of(run, entry, writers)
    except TriageError:
        return []
    by_seq = {call.seq: call for call in writers}
    found: list[Message] = []
    name = entry.file.removeprefix("logs/")
    for number, (raw, seq) in enumerate(lines, 1):
        text = raw[:MAX_LINE_BYTES].decode("utf-8", "backslashreplace").strip()
        if not text:
            continue
        call = by_seq.get(seq)
        head = _HEAD.match(text) if entry.stream == "syslog" else None
        said = text[head.end() :] if head is not None and text[head.end() :] else text
        urgent = head is not None and int(head[1]) % 8 <= _MOST_URGENT
        found.append(
            Message(
                source=Source(kind="log", id=name, line=number),
                says=f'the program logged "{said[:200]}"',
                cite=f'"{said[:120]}"',
                seq=call.seq if call is not None else -1,
                pid=call.pid if call is not None else 0,
                steps=steps_after.get(call.seq, NEVER) if call is not None else 0,
                text=said,
                stream="syslog" if entry.stream == "syslog" else "log",
                error=urgent or is_complaint(said),
            )
        )
    found = found[-MAX_LINES:]
    last = len(found) - 1
    return [msgspec.structs.replace(message, from_last=last - index) for index, message in enumerate(found)]
