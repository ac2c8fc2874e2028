"""Turn the text of logs into records, or skim it.

Calls of text that is skimmed are counted; they are read when somebody asks for them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable

from triage_tui.guest.emulator.return_stub import MARKER_CALL, MARKER_WHENCE
from triage_tui.guest.log.argument_text import split_arguments
from triage_tui.guest.log.call_effects import RELEVANT, lasting_calls
from triage_tui.guest.log.call_history import CallHistory
from triage_tui.guest.log.kept_calls import RawCalls, add_note, make_record
from triage_tui.guest.log.logged_items import LoggedCall, LoggedSignal, LongerCall
from triage_tui.guest.log.own_text import all_end, unended
from triage_tui.guest.log.strace import BEGINS_CALL, NEXT_CALL, StraceReader, calls_begun
from triage_tui.guest.log.syscall_record import new_record, set_result, set_value
from triage_tui.guest.log.thread_log import Mark, Settled, ThreadLog
from triage_tui.runs.model import Syscall

_FAILED, _MISSING = b" = -1 errno=", b"Unsupported syscall"
_HIGH_WRITE = re.compile(rb"write\((\d{4,}),")
_NEAR_LINES = 64
_MAX_EARLY = 20_000
_OLD_WAITS = 1 << 13
"""Bytes behind what was read after which it does not matter any more where the thread was held."""


def is_marker(call: LoggedCall) -> bool:
    """Return whether a call of the log is the engine's own, see `return_stub`."""
    shown = (str(MARKER_WHENCE).encode(), hex(MARKER_WHENCE).encode())
    return any(argument in shown for argument in split_arguments(call.arguments))


def _last_call(text: bytes) -> int:
    """Return the offset at which the last call of `text` begins, 0 if none does."""
    at = len(text)
    for _ in range(_NEAR_LINES):
        if (at := text.rfind(b"\n", 0, at)) < 0:
            return 0
        if BEGINS_CALL.match(text, at + 1):
            return at + 1
    # A string of line breaks.
    last = 0
    for found in NEXT_CALL.finditer(text, 0, at):
        last = found.start() + 1
    return last


def _in_words(passed_over: int) -> str:
    return f"the calls in {passed_over} bytes of the log before this one were passed over"


class CallRecords(CallHistory):
    """The history, and how text of logs gets into it."""

    def __init__(self, history: int, cap: int) -> None:
        """See `CallHistory`."""
        super().__init__(history, cap)
        self.now_ns = 0
        """The time of the text that is being read."""
        self.on_signal: Callable[[ThreadLog, LoggedSignal], None] = lambda _log, _signal: None
        self.on_finished: Callable[[ThreadLog, Syscall], None] = lambda _log, _record: None
        self.own_fds_from = 1 << 31
        """From here on descriptors are the emulator's own."""
        self.on_forgery: Callable[[ThreadLog], None] = lambda _log: None
        """Called when a guest writes to a descriptor of the emulator's: it may be the log."""
        self.passed_over = 0
        """Bytes of logs of which no call is known: they were written faster than they can be read."""
        self.on_gap: Callable[[ThreadLog, int], None] = lambda _log, _calls: None
        """Called when calls of a log were skimmed: what comes next does not follow what came before."""

    def _read(self, log: ThreadLog, data: bytes, mark: Mark, whole: bool) -> None:
        for item in log.reader.feed(data, whole):
            if isinstance(item, LoggedSignal):
                log.last_signal = item
                self.on_signal(log, item)
            elif isinstance(item, LongerCall):
                self._lengthen(log, item.call)
            else:
                log.last_signal = None
                self._begin(log, item)
        for call in log.reader.finished:
            self._end(log, call)
        log.reader.finished.clear()
        if len(log.early) > _MAX_EARLY:
            # Text of the guest's own making was taken for calls.
            log.early = {at: one for at, one in log.early.items() if at >= log.reader.position}
        if len(log.seen) > _MAX_EARLY:
            log.seen = {end: one for end, one in log.seen.items() if end >= log.reader.position}
        if len(log.settled) > _MAX_EARLY or len(log.passed_markers) > _MAX_EARLY:
            unread = {id(record) for record in log.early.values()}
            log.settled = {key: one for key, one in log.settled.items() if key in unread}
            position = log.reader.position
            log.passed_markers = {at: fails for at, fails in log.passed_markers.items() if at >= position}
        if len(log.waits) > _MAX_EARLY:
            for end in [end for end in log.waits if end < log.reader.position - _OLD_WAITS]:
                del log.waits[end]

    def _lengthen(self, log: ThreadLog, call: LoggedCall) -> None:
        """What was read behind a call belongs to its string: complete its record."""
        record = log.latest
        if record is None:
            return
        failed = record.errno is not None
        fresh = new_record(record.seq, call, log.arch, 0)
        record.arguments, record.path, record.note = fresh.arguments, fresh.path, call.note
        if id(call) not in log.records:
            record.errno = None
            set_result(record, call, log.arch)
            self.failed += (record.errno is not None) - failed

    def _count(self, log: ThreadLog, data: bytes, mark: Mark, whole: bool) -> None:
        """Take in `data` as lines that are counted and kept."""
        if log.is_altered:
            self._read(log, data, mark, whole)
            return
        if log.reader.pending:
            # The result of a call that is known already comes first.
            line = data.find(b"\n") + 1
            self._read(log, data[:line], mark, False)
            data = data[line:]
            if log.reader.pending:
                self._read(log, data, mark, whole)
                return
        begin = log.reader.position
        text = log.reader.take(data)
        first = BEGINS_CALL.search(text)
        base = first.start() if first else 0
        cut = _last_call(text)
        names = calls_begun(text[base:cut])
        if not all_end(text[:cut], begin, names, log.held, log.waits):
            # In the middle of a call's string lines may begin that are none, and it may be the call before.
            cut = _last_call(text[: unended(text, begin, log.held, log.waits)])
            names = calls_begun(text[base:cut])
        log.reader.jump(begin + cut)
        if cut > base:
            log.reader.lost += base
            self._keep_raw(log, text[base:cut], begin + base, names)
        self._read(log, text[cut:], mark, whole)

    def _keep_raw(self, log: ThreadLog, text: bytes, at: int, names: list[bytes]) -> None:
        """Keep whole lines from the offset `at` on, of calls with these names."""
        raw = RawCalls(log.arch, log.inner_tid, self.count + 1, len(names), self.now_ns, text, at)
        end = at + len(text)
        while log.early and (offset := next(iter(log.early))) < end:
            raw.early[offset] = log.early.pop(offset)
        while log.seen and (offset := next(iter(log.seen))) < end:
            raw.seen[offset] = log.seen.pop(offset)
        if log.passed_markers or log.settled:
            self._take_settled(log, raw, end)
        raw.held, raw.waits = log.held, frozenset(offset for offset in log.waits if at < offset <= end)
        if log.passed_over:
            raw.note, log.passed_over = _in_words(log.passed_over), 0
        self.count += raw.count
        self.skimmed += raw.count
        self.failed += text.count(_FAILED) + text.count(_MISSING)
        log.last_signal = None
        for found in _HIGH_WRITE.finditer(text):
            self._look_for_forgery(log, found[1])
        lasting = lasting_calls(text, set(names))
        begun = [found.start() for found in BEGINS_CALL.finditer(text)] if lasting else []
        begun = [offset for offset in begun if at + offset not in raw.markers]
        for line, offset in lasting:
            reader = StraceReader()
            reader.feed(line)
            for call in reader.finished:
                number = raw.first + min(bisect_left(begun, offset), raw.count - 1)
                record = new_record(number, call, log.arch, 0)
                set_result(record, call, log.arch)
                if record.errno is None:
                    self.effects(log.pid).note(record)
        self._kept.add(raw)
        self.on_gap(log, raw.count)

    def _pass_over(self, log: ThreadLog, keep: int) -> None:
        """Give up what waits in a log but for about its last `keep` bytes; calls that were held are known."""
        if log.is_altered or not (passed := log.pass_over(keep)):
            # What the guest does not get to see must not be taken for what it does.
            return
        self.passed_over += passed
        for record in log.records.values():
            add_note(record, "its result was passed over")
        log.records.clear()
        log.last_signal = None
        while log.early and (at := next(iter(log.early))) < log.position:
            record = log.early.pop(at)
            self.count += 1
            record.seq, record.tid = self.count, log.inner_tid
            if log.settled.pop(id(record), None) is None:
                add_note(record, "its result was passed over")
            self.failed += record.errno is not None
            self._history.append(record)
            self._kept.add(record)
        log.seen = {end: one for end, one in log.seen.items() if end > log.position}
        log.passed_markers = {at: fails for at, fails in log.passed_markers.items() if at >= log.position}
        self.on_gap(log, 0)

    def _take_settled(self, log: ThreadLog, raw: RawCalls, end: int) -> None:
        """Tell `raw`, whose text goes up to `end`, of what the guest got instead of what is in the text."""
        markers = {at: log.passed_markers.pop(at) for at in list(log.passed_markers) if raw.at <= at < end}
        settled = [one for record in raw.early.values() if (one := log.settled.pop(id(record), None))]
        raw.markers = frozenset(markers)
        raw.settled = frozenset(id(one.record) for one in settled)
        raw.count -= len(markers)
        self.failed -= sum(markers.values())
        self.failed += sum((one.record.errno is not None) - one.text_fails for one in settled)

    def _begin(self, log: ThreadLog, call: LoggedCall) -> None:
        if log.passed_markers and log.passed_markers.pop(call.at, None) is not None:
            return
        if log.markers and call.name == MARKER_CALL and is_marker(call):
            log.markers -= 1
            return
        if log.repeated is not None and call.name in (log.repeated.name, f"syscall_{log.repeated.num}"):
            log.records[id(call)], log.repeated = log.repeated, None
            return
        if call.name == "write":
            self._look_for_forgery(log, call.arguments.partition(b",")[0])
        self.count += 1
        record = make_record(call, log.arch, self.now_ns, log.early)
        record.seq, record.tid = self.count, log.inner_tid
        if log.seen and (seen := log.seen.pop(call.end, None)) is not None:
            self._kept.on_seen(log.arch, record, seen)
        if log.passed_over:
            add_note(record, _in_words(log.passed_over))
            log.passed_over = 0
        log.records[id(call)] = log.latest = record
        self._history.append(record)
        self._kept.add(record)

    def _look_for_forgery(self, log: ThreadLog, descriptor: bytes) -> None:
        if len(descriptor) > 3 and descriptor.isdigit() and int(descriptor) >= self.own_fds_from:
            self.on_forgery(log)

    def _end(self, log: ThreadLog, call: LoggedCall) -> None:
        record = log.records.pop(id(call), None)
        if record is None:
            return
        if any(record is other for other in log.unsettled):
            record.note = record.note or call.note
            return
        if log.settled and log.settled.pop(id(record), None) is not None:
            record.note = record.note or call.note
        else:
            set_result(record, call, log.arch)
        self._finish(log, record)

    def settle(self, log: ThreadLog, record: Syscall, ret: int, real: int) -> None:
        """Give a record of `log.unsettled` the result that the guest got, `ret` instead of `real`."""
        log.unsettled = [other for other in log.unsettled if other is not record]
        set_value(record, ret, log.arch)
        if log.passed_markers:
            # That of this call is the newest.
            log.passed_markers[next(reversed(log.passed_markers))] = -4095 <= ret < 0
        if record.seq == 0:
            # Its text has not been read.
            log.settled[id(record)] = Settled(record, -4095 <= real < 0)
        else:
            self._finish(log, record)

    def _finish(self, log: ThreadLog, record: Syscall) -> None:
        if record.errno is not None:
            self.failed += 1
        elif record.name in RELEVANT:
            self.effects(log.pid).note(record)
        self._note_signature(record)
        self.on_finished(log, record)

    def pending(self, log: ThreadLog) -> list[Syscall]:
        """Return the records of the calls of this thread that have not returned, oldest first."""
        return [log.records[id(call)] for call in log.reader.pending if id(call) in log.records]
