"""Logs that a person added to a run, lined up with its calls by their time stamps, or else by what they say.

The text is copied below `logs/`, and `added_logs.json` says what it is. Only the part around the time of the
run is kept of a long log.
"""

from __future__ import annotations

import bisect
import codecs
import re
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.events import append_event
from triage_tui.runs.files import inside, read_bounded, real_path, refuse_link, write_atomic
from triage_tui.runs.log_contents import Anchor, anchors, placed, said_by
from triage_tui.runs.log_times import SECOND, Stamp, Times, read_times
from triage_tui.runs.printed_text import printed_text
from triage_tui.runs.reader import Run
from triage_tui.runs.record import Record
from triage_tui.runs.writer import encode_json
from triage_tui.text import number_of, safe_line

INDEX_FILE = "added_logs.json"
MAX_READ = 64 << 20
"""Bytes read of a log, from its end."""
MAX_KEPT = 1 << 20
MAX_LOGS = 16
_MAX_LINE = 8192
MAX_TIMES = 10_000
"""Lines of one log whose times are kept; of more, those near the run."""
_AROUND = 60 * SECOND
"""Of a long log the lines of this long before and after the run are kept."""
_MAX_INDEX = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_GONE = "nothing tells the wall time of the run's calls"


class AddedLog(Record):
    """One log that was added."""

    file: str
    """Its copy: "logs/added-messages.log"."""
    source: str
    """Where it was."""
    form: str = ""
    """How its times are written, a name of `log_times.FORMS`; "" when they could not be told."""
    lines: int = 0
    first_line: int = 1
    """Number in the source, as far as it was read, of the first line that is kept."""
    left_out: int = 0
    """Lines that were not kept, or not read."""
    disordered: int = 0
    why: str = ""
    """Why its lines could not be lined up; "" when they could."""
    matched: int = 0
    """Lines that say what a call of the run printed or was about, where the log is lined up by that."""
    contents: list[tuple[int, int, int]] = []
    """Where it is lined up by what it says: of each line its number, and the first and the last call that it
    belongs to."""
    times: list[tuple[int, int, int]] = []
    """Of each line that could be: its number, its time on the clock of `ts_mono_ns`, and for how long that
    stamp stays the same, all in nanoseconds."""


class AddedLogs(Record):
    """The content of `added_logs.json`."""

    logs: list[AddedLog] = []
    schema_version: int = 1


class Place(msgspec.Struct, frozen=True):
    """Where in the trace a line belongs."""

    first: int
    """The last call that had been made when the stamp began; 0: before the first."""
    last: int
    """The same when the stamp ended: a stamp of seconds spans many calls."""
    outside: str = ""
    """"before" or "after" the run."""

    def __str__(self) -> str:
        if self.outside:
            return self.outside
        return f"#{self.first}" if self.first == self.last else f"#{self.first}..{self.last}"


def read_index(run: Run) -> AddedLogs:
    """Return what was added to a run; nothing when the index is missing or cannot be used."""
    try:
        raw = read_bounded(inside(run.dir, INDEX_FILE), _MAX_INDEX * 8, whole=True)
        return msgspec.json.decode(raw, type=AddedLogs)
    except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return AddedLogs()


def places(run: Run, log: AddedLog) -> dict[int, Place]:
    """Return where the lines of a log belong, by their numbers."""
    if log.contents:
        return {number: Place(first, last) for number, first, last in log.contents if 0 <= first <= last}
    calls = [call for call in run.trace() if call.ts_mono_ns > 0]
    if not calls:
        return {}
    # Calls of one mark have one time, and threads are told one after the other.
    times = sorted((call.ts_mono_ns, call.seq) for call in calls)
    starts = [at for at, _seq in times]
    highest, most = [], 0
    for _at, seq in times:
        most = max(most, seq)
        highest.append(most)
    end = max(starts[-1], run.snapshot.trigger.ts_mono_ns)
    found = {}
    for number, at, span in log.times:
        first, last = (
            bisect.bisect_right(starts, at),
            bisect.bisect_right(starts, at + max(0, span - 1)),
        )
        outside = "before" if last == 0 else "after" if at > end else ""
        found[number] = Place(highest[first - 1] if first else 0, highest[last - 1] if last else 0, outside)
    return found


def add_log(run: Run, path: Path, zone: tzinfo | None = None, actor: str | None = None) -> AddedLog:
    """Copy a log into a run and line it up; stamps without a zone are of `zone` (default: this machine's).

    Raises:
        TriageError: it cannot be read or is no text, the run has enough, or it cannot be written.
    """
    index = read_index(run)
    shown = safe_line(str(path), 200)
    if len(index.logs) >= MAX_LOGS:
        raise TriageError(f"run {run.run_id} has {MAX_LOGS} added logs already, so {shown} was not added")
    source = real_path(path)
    raw = read_bounded(source, MAX_READ + 1, tail=True)
    missing = len(raw) > MAX_READ
    raw = raw[raw.find(b"\n") + 1 :] if missing else _as_utf8(raw)
    if not _is_text(raw):
        raise TriageError(f"{shown} is no text, so it was not added")
    # Serial consoles end lines with both, and send zeros when a board starts.
    lines = [line.strip(b"\r\0")[:_MAX_LINE] for line in raw.removesuffix(b"\n").split(b"\n")] if raw else []
    texts = [line[:200].decode("utf-8", "replace") for line in lines]
    moment, offset = _clock(run)
    times = read_times(texts, moment, zone)
    stamps = _on_clock(times, offset, run)
    why = times.why or ("" if any(stamps) else _GONE)
    # A log of another machine, or of another boot, may have times that are none of the run's.
    known = [] if not why and _is_of_the_time(stamps, run) else _by_content(run, texts)
    if known:
        why = ""
    first, last = _window(lines, stamps, run, known)
    kept = lines[first:last]
    name = _name_for(path, index)
    log = AddedLog(
        file=f"logs/{name}",
        source=str(path.absolute()),
        form=times.form,
        lines=len(kept),
        first_line=first + 1,
        left_out=len(lines) - len(kept),
        disordered=times.disordered,
        why=why,
        times=_times(stamps[first:last], run),
        matched=len(known),
        contents=_contents(known, first, last),
    )
    if missing:
        log.left_out += 1
    refuse_link(run.dir / "logs")
    try:
        write_atomic(inside(run.dir, log.file), b"".join(line + b"\n" for line in kept))
        index.logs.append(log)
        write_atomic(inside(run.dir, INDEX_FILE), encode_json(index))
    except OSError as error:
        raise TriageError(f"the log could not be added to run {run.run_id}: {error.strerror}") from error
    payload: dict[str, Any] = {"file": log.file, "source": log.source, "lines": log.lines, "form": log.form}
    append_event(run.dir, "log_added", payload, actor)
    return log


def in_words(run: Run, log: AddedLog) -> str:
    """Say in a line what an added log is and how it was lined up."""
    words = f"{safe_line(log.file, 120)}: {safe_line(log.source, 200)}, {number_of(log.lines, 'line')}"
    if log.left_out:
        words += f" of the time of the run ({number_of(log.left_out, 'other line')} left out)"
    if log.why:
        return f"{words}; not lined up: {safe_line(log.why, 200)}"
    found = places(run, log)
    if log.contents:
        lines = number_of(log.matched, "line")
        return f"{words}; lined up by content: what calls printed or are about is in {lines}"
    within = sum(not place.outside for place in found.values())
    words += f"; times in the form of {safe_line(log.form, 40)}, {number_of(within, 'line')} of the run"
    if log.disordered:
        words += f", {number_of(log.disordered, 'line is', 'lines are')} out of order"
    return words


def _clock(run: Run) -> tuple[datetime, int | None]:
    """Return the wall time of the stop, and what to add to a wall time to have it on the trace's clock."""
    trigger = run.snapshot.trigger
    if trigger.ts_sec > 0 and trigger.ts_mono_ns > 0:
        wall = trigger.ts_sec * SECOND + trigger.ts_nsec
        try:
            return datetime.fromtimestamp(trigger.ts_sec).astimezone(), trigger.ts_mono_ns - wall
        except (ValueError, OverflowError, OSError):
            pass
    try:
        return datetime.fromisoformat(run.snapshot.created_at).astimezone(), None
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(time.time()).astimezone(), None


def _on_clock(times: Times, offset: int | None, run: Run) -> list[Stamp | None]:
    """Return the stamps on the clock of the trace, which counts since this machine's boot."""
    if times.since_boot:
        return times.stamps if run.snapshot.trigger.ts_mono_ns > 0 else [None] * len(times.stamps)
    if offset is None:
        return [None] * len(times.stamps)
    return [Stamp(stamp.ns + offset, stamp.span) if stamp is not None else None for stamp in times.stamps]


def _span(run: Run) -> tuple[int, int]:
    """Return when the run was, with some time around it."""
    moments = [call.ts_mono_ns for call in run.trace() if call.ts_mono_ns > 0]
    return min(moments, default=0) - _AROUND, run.snapshot.trigger.ts_mono_ns + _AROUND


def _times(stamps: list[Stamp | None], run: Run) -> list[tuple[int, int, int]]:
    """Return number, time and span of the lines that have a time."""
    timed = [(number, stamp.ns, stamp.span) for number, stamp in enumerate(stamps, 1) if stamp is not None]
    if len(timed) > MAX_TIMES:
        begin, end = _span(run)
        timed = [entry for entry in timed if begin <= entry[1] <= end][:MAX_TIMES]
    return timed


def _is_of_the_time(stamps: list[Stamp | None], run: Run) -> bool:
    """Tell whether a line was written between the first call and the stop, or soon after."""
    first = min((call.ts_mono_ns for call in run.trace() if call.ts_mono_ns > 0), default=None)
    last = run.snapshot.trigger.ts_mono_ns + _AROUND
    if first is None:
        return False
    known = (stamp for stamp in stamps if stamp is not None)
    return any(first <= stamp.ns + stamp.span and stamp.ns <= last for stamp in known)


def _by_content(run: Run, lines: list[str]) -> list[Anchor]:
    calls = run.trace()
    return anchors(lines, said_by(calls, printed_text(run, calls).texts))


def _contents(known: list[Anchor], first: int, last: int) -> list[tuple[int, int, int]]:
    """Return number and calls of the lines that are kept, those that are known of themselves first of all."""
    rows = [(line - first + 1, low, high) for line, low, high in placed(known) if first <= line < last]
    if len(rows) > MAX_TIMES:
        rows = [row for row in rows if row[1] == row[2]]
    return rows[-MAX_TIMES:]


def _window(lines: list[bytes], stamps: list[Stamp | None], run: Run, known: list[Anchor]) -> tuple[int, int]:
    """Return the first line that is kept and the one behind the last."""
    if sum(map(len, lines)) + len(lines) <= MAX_KEPT:
        return 0, len(lines)
    begin, end = _span(run)
    near = [anchor.line for anchor in known] or [
        n for n, stamp in enumerate(stamps) if stamp is not None and begin <= stamp.ns <= end
    ]
    first, last = (near[0], near[-1] + 1) if near else (0, len(lines))
    size = 0
    for index in range(last - 1, first - 1, -1):
        size += len(lines[index]) + 1
        if size > MAX_KEPT:
            return index + 1, last
    return first, last


def _as_utf8(raw: bytes) -> bytes:
    """Return a text without its byte order mark; consoles of Windows write UTF-16 with one."""
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return raw.decode("utf-16", "replace").encode()
    return raw.removeprefix(codecs.BOM_UTF8)


def _is_text(raw: bytes) -> bool:
    sample = raw[: 1 << 16].decode("utf-8", "replace")
    sound = sum(char.isprintable() or char in "\n\r\t\x1b" for char in sample) - sample.count("\ufffd")
    return sound >= 0.8 * (len(sample) - min(sample.count("\0"), len(sample) // 4))


def _name_for(path: Path, index: AddedLogs) -> str:
    base = _UNSAFE.sub("_", path.name.removesuffix(".log"))[:60].strip("._") or "log"
    taken = {log.file for log in index.logs}
    number, name = 1, f"added-{base}.log"
    while f"logs/{name}" in taken:
        number += 1
        name = f"added-{base}-{number}.log"
    return name
