"""Logs that a person added to a run, and where in its trace their lines belong.

The text is copied below `logs/`, and `added_logs.json` says what it is; `adding_logs` makes both.
"""

from __future__ import annotations

import bisect
import re

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.limits import show_size
from triage_tui.runs.log_times import SECOND
from triage_tui.runs.reader import Run
from triage_tui.runs.record import Record
from triage_tui.text import number_of, safe_line

INDEX_FILE = "added_logs.json"
_NUMBERS = (
    *("lines", "first_line", "left_out", "unread", "disordered", "size"),
    *("moved_ns", "unsure_ns", "agreed", "matched"),
)
_MOST = 1 << 62
_MAX_INDEX = 1 << 20
_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,40}m")
_ZONE, _ZONES = 840 * SECOND, 15 * 3600 * SECOND
"""A zone is a quarter of an hour and more from another one, and no two are further apart."""
GONE = "nothing tells the wall time of the run's calls"


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
    """Lines that were read and not kept."""
    unread: int = 0
    """Bytes of the source that were not read."""
    disordered: int = 0
    why: str = ""
    """Why its lines could not be lined up; "" when they could."""
    sha256: str = ""
    """Of what was read of the source: by this it is known again."""
    size: int = 0
    """Bytes that were read of the source."""
    moved_ns: int = 0
    """What was added to its times, because its clock is another; 0: nothing."""
    unsure_ns: int = 0
    """How much more that may be, which is part of the spans of `times`."""
    zone: bool = False
    """Whether its clock is another by the distance of two time zones."""
    agreed: int = 0
    """Lines of which the call is known that agree with its times, after they were moved."""
    matched: int = 0
    """Lines of which it is certain by what they say to which calls they belong."""
    doubtful: list[int] = []
    """Numbers of lines in `contents` that may belong elsewhere as well, or to nothing of the run."""
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
    doubtful: bool = False
    """Whether it may be elsewhere as well: by what it says, another line is as likely here."""

    @property
    def exact(self) -> bool:
        """Whether one call is known."""
        return self.first == self.last and not self.doubtful and not self.outside

    def __str__(self) -> str:
        if self.outside:
            return self.outside
        calls = f"#{self.first}" if self.first == self.last else f"#{self.first}..{self.last}"
        return f"{calls}?" if self.doubtful else calls


def without_colours(text: str) -> str:
    """Return a text without the sequences that colour a console (SGR, ECMA-48); others stay to be seen."""
    return _COLOUR.sub("", text)


def read_index(run: Run) -> AddedLogs:
    """Return what was added to a run; nothing when the index is missing or cannot be used."""
    try:
        raw = read_bounded(inside(run.dir, INDEX_FILE), _MAX_INDEX * 8, whole=True)
        found = msgspec.json.decode(raw, type=AddedLogs)
    except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return AddedLogs()
    for log in found.logs:
        _bound(log)
    return found


def _bound(log: AddedLog) -> None:
    """Keep the numbers of an index from elsewhere to what fits a float and a line."""

    def bounded(number: int) -> int:
        return max(-_MOST, min(number, _MOST))

    for name in _NUMBERS:
        setattr(log, name, bounded(getattr(log, name)))
    log.times = [(bounded(a), bounded(b), bounded(c)) for a, b, c in log.times]
    log.contents = [(bounded(a), bounded(b), bounded(c)) for a, b, c in log.contents]


def places(run: Run, log: AddedLog) -> dict[int, Place]:
    """Return where the lines of a log belong, by their numbers."""
    if log.contents:
        doubtful = set(log.doubtful)
        return {
            number: Place(first, last, doubtful=number in doubtful)
            for number, first, last in log.contents
            if 0 <= first <= last
        }
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


def in_words(run: Run, log: AddedLog) -> str:
    """Say in a line what an added log is and how it was lined up."""
    words = f"{safe_line(log.file, 120)}: {safe_line(log.source, 200)}, {number_of(log.lines, 'line')}"
    if log.left_out or log.unread:
        others = [number_of(log.left_out, "other line")] if log.left_out else []
        others += [f"{show_size(log.unread)} not read"] if log.unread else []
        of_run = any(not place.outside for place in places(run, log).values())
        words += f" of {'the time of the run' if of_run else 'it'} ({', '.join(others)})"
    return f"{words}; {lined_up(run, log)}"


def lined_up(run: Run, log: AddedLog) -> str:
    """Say how an added log was lined up, or why it was not, one sentence without a full stop."""
    if log.why:
        return f"not lined up: {safe_line(log.why, 200)}"
    if log.contents:
        lines, doubtful = number_of(log.matched, "line"), number_of(len(log.doubtful), "line")
        words = "lined up by content: what calls printed or are about is in "
        if not log.matched:
            return f"{words}{doubtful}, each of which may belong elsewhere as well (marked with ?)"
        words += lines
        if log.doubtful:
            words += f"; {doubtful} more may belong elsewhere as well (marked with ?)"
        return words
    within = sum(not place.outside for place in places(run, log).values())
    words = f"times in the form of {safe_line(log.form, 40)}, {number_of(within, 'line')} of the run"
    if log.moved_ns:
        words += f"; {_apart(log)}"
    elif not within and (far := _far(run, log)) > 0:
        words += f": the nearest is {_long(far)} away"
        if _ZONE <= far <= _ZONES:
            words += "; where its times are of another zone, say which (--zone)"
    if log.disordered:
        words += f", {number_of(log.disordered, 'line is', 'lines are')} out of order"
    return words


def _apart(log: AddedLog) -> str:
    """Say how far the clock of a log is from that of the run."""
    behind = "behind" if log.moved_ns > 0 else "ahead"
    by = number_of(log.agreed, "line")
    if log.zone:
        return (
            f"its clock is {_long(abs(log.moved_ns))} {behind}, another time zone, as {by} of known calls say"
        )
    middle = abs(log.moved_ns + log.unsure_ns // 2)
    give = f"{log.unsure_ns / 2 / SECOND:.1f} s"
    return f"its clock is {_long(middle)} {behind} (give or take {give}), as {by} of known calls say"


def _long(ns: int) -> str:
    """Return a long time in words: "2 h 0 min", "3 min 20 s", "1.5 s"."""
    seconds = ns / SECOND
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _far(run: Run, log: AddedLog) -> int:
    """Return how far the nearest time of a log is from the run; 0 where one is of it, or none is known."""
    moments = [call.ts_mono_ns for call in run.trace() if call.ts_mono_ns > 0]
    if not moments:
        return 0
    first, last = min(moments), max(max(moments), run.snapshot.trigger.ts_mono_ns)
    return min((max(first - at - span, at - last, 0) for _number, at, span in log.times), default=0)
