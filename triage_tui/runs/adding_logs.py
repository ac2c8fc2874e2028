"""Put a log of others beside a run: read, lined up by its time stamps or else by what it says, and copied.

Where lines of which the call is known agree that the clock of a log is another, its times are moved by that.
A log that was added before, or that has only grown since, is lined up anew and stays one.
"""

from __future__ import annotations

import bisect
import codecs
import hashlib
import re
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from triage_tui.errors import TriageError
from triage_tui.runs.added_logs import GONE, INDEX_FILE, AddedLog, AddedLogs, in_words, read_index
from triage_tui.runs.events import append_event
from triage_tui.runs.files import inside, real_path, refuse_link, write_atomic
from triage_tui.runs.heaviest_order import Settled
from triage_tui.runs.log_clocks import Distance, Seen, distance
from triage_tui.runs.log_contents import anchors, placed, said_by
from triage_tui.runs.log_times import SECOND, Stamp, Times, read_times
from triage_tui.runs.long_logs import Part, read_end, read_from, size_of
from triage_tui.runs.printed_text import printed_text
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import encode_json
from triage_tui.text import safe_line

MAX_READ = 64 << 20
"""Bytes of a longer log than this are read from the time of the run on, or else so many of its end."""
_SAMPLE = 2000
"""Lines of a part of a long log of which the times are asked."""
MAX_KEPT = 1 << 20
MAX_LOGS = 16
_MAX_LINE = 8192
MAX_TIMES = 10_000
"""Lines of one log whose times are kept; of more, those near the run."""
_AROUND = 60 * SECOND
"""Of a long log the lines of this long before and after the run are kept."""
_READ_OF = SECOND // 10
"""How long after a call it is read of, at most, where the machine is not very busy."""
_DOUBT = 3
"""Lines of known calls that agree on no clock, so that the times of a log say nothing."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_FILE = re.compile(r"logs/added-[A-Za-z0-9._-]{1,80}\.log\Z")


def add_log(run: Run, path: Path, zone: tzinfo | None = None, actor: str | None = None) -> AddedLog:
    """Copy a log into a run and line it up; stamps without a zone are of `zone` (default: this machine's).

    One that the run has already (by its content), or of which it has the beginning, takes the place of that.

    Raises:
        TriageError: it cannot be read or is no text, the run has enough, or it cannot be written.
    """
    index = read_index(run)
    shown = safe_line(str(path), 200)
    source = real_path(path)
    moment, offset = _clock(run)
    part = _read(run, source, moment, offset, zone)
    raw = part.raw
    earlier = _same(index, raw)
    if earlier is None and len(index.logs) >= MAX_LOGS:
        raise TriageError(f"run {run.run_id} has {MAX_LOGS} added logs already, so {shown} was not added")
    sha256, size = hashlib.sha256(raw).hexdigest(), len(raw)
    raw = raw if part.unread else _as_utf8(raw)
    if not _is_text(raw):
        raise TriageError(f"{shown} is no text, so it was not added")
    # Serial consoles end lines with both, and send zeros when a board starts.
    lines = [line.strip(b"\r\0")[:_MAX_LINE] for line in raw.removesuffix(b"\n").split(b"\n")] if raw else []
    texts = [line[:200].decode("utf-8", "replace") for line in lines]
    times = read_times(texts, moment, zone)
    stamps = _on_clock(times, offset, run)
    why = times.why or ("" if any(stamps) else GONE)
    known = _by_content(run, texts)
    seen = _seen(run, known, stamps)
    apart = distance(seen)
    if apart is not None and (apart.low or apart.high):
        stamps = [_moved(stamp, apart) for stamp in stamps]
    # A log of another machine, or of another boot, may have times that are none of the run's.
    if not why and _is_of_the_time(stamps, run) and (apart is not None or len(seen) < _DOUBT):
        known = []
    elif known:
        why = ""
    apart = apart if apart is not None and not known else Distance()
    first, last = _window(lines, stamps, run, known)
    if earlier is not None and first and size != earlier.size:
        # What was cited of the copy would be another line.
        earlier = None
    kept = lines[first:last]
    contents = _contents(known, first, last)
    name = earlier.file.removeprefix("logs/") if earlier is not None else _name_for(path, index)
    log = AddedLog(
        file=f"logs/{name}",
        source=str(path.absolute()),
        form=times.form,
        lines=len(kept),
        first_line=first + 1,
        left_out=len(lines) - len(kept),
        unread=part.unread,
        disordered=times.disordered,
        why=why,
        times=_times(stamps[first:last], run),
        sha256=sha256,
        size=size,
        moved_ns=apart.low,
        unsure_ns=apart.high - apart.low,
        zone=apart.zone,
        agreed=apart.agreed,
        matched=sum(one.certain for one in known),
        doubtful=[one.number for one in contents if not one.certain],
        contents=[(one.number, one.first, one.last) for one in contents],
    )
    if earlier is not None and replace(log, source=earlier.source) == earlier:
        return earlier
    refuse_link(run.dir / "logs")
    try:
        write_atomic(inside(run.dir, log.file), b"".join(line + b"\n" for line in kept))
        index.logs = [log if one is earlier else one for one in index.logs]
        index.logs += [log] if earlier is None else []
        write_atomic(inside(run.dir, INDEX_FILE), encode_json(index))
    except OSError as error:
        raise TriageError(f"the log could not be added to run {run.run_id}: {error.strerror}") from error
    payload: dict[str, Any] = {"file": log.file, "source": log.source, "lines": log.lines, "form": log.form}
    append_event(run.dir, "log_added", payload, actor)
    return log


def _read(run: Run, source: Path, moment: datetime, offset: int | None, zone: tzinfo | None) -> Part:
    """Return the whole of a log; of a longer one what is of the time of the run, else its end.

    Raises:
        TriageError: it cannot be read.
    """
    begin, end = _span(run)

    def stamps_of(lines: list[bytes]) -> list[Stamp]:
        texts = [line[:200].decode("utf-8", "replace") for line in lines]
        return [one for one in _on_clock(read_times(texts, moment, zone), offset, run) if one is not None]

    def is_before(raw: bytes) -> bool | None:
        stamps = stamps_of(raw.split(b"\n")[:_SAMPLE])
        return stamps[0].ns < begin if stamps else None

    found = read_from(source, is_before) if size_of(source) > MAX_READ else None
    if found is not None:
        lines = found.raw.split(b"\n")
        first, last = stamps_of(lines[:_SAMPLE]), stamps_of(lines[-_SAMPLE:])
        # Where the run is before or behind all of it, its clock may be another.
        if first and last and first[0].ns <= end and last[-1].ns >= begin:
            return found
    return read_end(source, MAX_READ)


def told(run: Run, before: AddedLogs, log: AddedLog) -> str:
    """Say what adding a log has come to, where `before` was there."""
    words = in_words(run, log)
    if log in before.logs:
        return f"nothing new, it is beside the run already: {words}"
    return f"{'lined up anew' if log.file in {one.file for one in before.logs} else 'added'} {words}"


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


def _by_content(run: Run, lines: list[str]) -> list[Settled]:
    calls = run.trace()
    return anchors(lines, said_by(calls, printed_text(run, calls).texts))


def _same(index: AddedLogs, raw: bytes) -> AddedLog | None:
    """Return the log that has this content already, or the beginning of it."""
    for log in index.logs:
        # Of one that is longer than what is read, the beginning is another each time.
        whole = log.size <= MAX_READ and log.first_line == 1 and len(raw) <= MAX_READ
        if log.sha256 and (whole or log.size == len(raw)) and 0 < log.size <= len(raw):
            known = hashlib.sha256(memoryview(raw)[: log.size]).hexdigest() == log.sha256
            if known and _FILE.match(log.file):
                return log
    return None


def _seen(run: Run, known: list[Settled], stamps: list[Stamp | None]) -> list[Seen]:
    """Return the lines of which the call is certain, with the moments of both."""
    calls = {call.seq: call.ts_mono_ns for call in run.trace() if call.ts_mono_ns > 0}
    moments = sorted(set(calls.values()))
    found = []
    for one in known:
        stamp, at = stamps[one.number], calls.get(one.first, 0)
        if stamp is not None and at and one.certain and one.first == one.last:
            # The time of a call is when it was read of, soon behind it and with all that came before.
            place = bisect.bisect_left(moments, at)
            earlier = moments[place - 1] if place else 0
            found.append(Seen(stamp.ns, stamp.span, max(earlier, at - _READ_OF), at))
    return found


def _moved(stamp: Stamp | None, apart: Distance) -> Stamp | None:
    """Return a stamp on the clock of the run, which it is known of as far as that of the log is."""
    return Stamp(stamp.ns + apart.low, stamp.span + apart.high - apart.low) if stamp is not None else None


def _contents(known: list[Settled], first: int, last: int) -> list[Settled]:
    """Return the lines that are kept, numbered from 1; those that are known of themselves first of all."""
    rows = [
        replace(one, number=one.number - first + 1) for one in placed(known) if first <= one.number < last
    ]
    if len(rows) > MAX_TIMES:
        rows = [row for row in rows if row.first == row.last]
    return rows[-MAX_TIMES:]


def _window(
    lines: list[bytes], stamps: list[Stamp | None], run: Run, known: list[Settled]
) -> tuple[int, int]:
    """Return the first line that is kept and the one behind the last."""
    if sum(map(len, lines)) + len(lines) <= MAX_KEPT:
        return 0, len(lines)
    begin, end = _span(run)
    near = [one.number for one in known] or [
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
