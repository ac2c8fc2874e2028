"""The history of a guest: one emulator log per thread, read into one sequence of `Syscall` records.

The logs are the truth, and the guest never waits for their reader. Each log's length is noted from time to
time (`ThreadLog.mark`), and the logs are read in the order of these marks, which gives all threads one order
and each call a time. A guest can call faster than its log can be read. Then the older part of what is waiting
is only skimmed: its calls are counted, its text is kept within the cap of the trace, and read when somebody
asks for it.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable

from triage_tui.guest.arch import Arch
from triage_tui.guest.emulator.return_stub import MARKER_CALL, MARKER_WHENCE
from triage_tui.guest.log.argument_text import split_arguments
from triage_tui.guest.log.call_effects import RELEVANT, CallEffects, lasting_calls
from triage_tui.guest.log.full_trace import FullTrace
from triage_tui.guest.log.kept_calls import KeptCalls, OnSeen, RawCalls, bound_times, make_record
from triage_tui.guest.log.log_opens import LogOpens
from triage_tui.guest.log.strace import (
    BEGINS_CALL,
    LoggedCall,
    LoggedSignal,
    LongerCall,
    StraceReader,
    calls_begun,
)
from triage_tui.guest.log.syscall_record import new_record, set_result, set_value
from triage_tui.guest.log.thread_log import Mark, ThreadLog
from triage_tui.runs.model import Syscall

_PORTION, _SKIM_PORTION = 1 << 10, 1 << 15
"""Log bytes that are read, or skimmed, in one go of a quarter of a millisecond: so long may a call wait."""
MAX_BACKLOG = 16 << 20
"""Bytes of all logs that may wait."""
_WINDOW = 1 << 19
"""Text that is read in one piece, so that long sequences are recognised; what came meanwhile is skimmed."""
_LAST_WINDOW = 1 << 17
"""Bytes that are read when nothing may wait: the guest is being frozen."""
_SHORT, _TAIL = 1 << 15, 1 << 13
"""Where a thread waits and only its newest calls matter: longer text than this is skimmed but for its end."""
_SMALL = 64
"""Text that is rather read than looked at from its end."""
_MAX_SIGNATURES = 65536
_FAILED, _MISSING = b" = -1 errno=", b"Unsupported syscall"
_HIGH_WRITE = re.compile(rb"write\((\d{4,}),")
_MAX_EARLY = 20_000

_Take = Callable[[ThreadLog, bytes, Mark, bool], None]


def is_marker(call: LoggedCall) -> bool:
    """Return whether a call of the log is the engine's own, see `return_stub`."""
    shown = (str(MARKER_WHENCE).encode(), hex(MARKER_WHENCE).encode())
    return any(argument in shown for argument in split_arguments(call.arguments))


def _last_call(text: bytes) -> int:
    """Return the offset at which the last call of `text` begins, 0 if none does."""
    at = len(text)
    while (at := text.rfind(b"\n", 0, at)) >= 0:
        if BEGINS_CALL.match(text, at + 1):
            return at + 1
    return 0


class Trace:
    """All calls of a run: the newest ones as records in memory, and up to a cap for the trace file."""

    def __init__(
        self,
        arch: Arch,
        history: int,
        cap: int,
        logs_calls: bool = True,
        held: frozenset[bytes] = frozenset(),
    ) -> None:
        """`held`: the calls in which a thread is always held, see `own_text.held_calls`."""
        self._arch = arch
        self._held = held
        self._logs_calls = logs_calls
        self.logs: dict[int, ThreadLog] = {}
        """Host tid -> log."""
        self._history: deque[Syscall] = deque(maxlen=history)
        self._history_size = history
        self._kept = KeptCalls(cap)
        self._logs_made = 0
        self.opens = LogOpens()
        self._looked = 0
        """Length of all logs at the last look."""
        self.full: FullTrace | None = None
        """Where all text is kept, if somebody wants it."""
        self.count = 0
        self.skimmed = 0
        """Calls that were counted and not read when they were made."""
        self.failed = 0
        self.signatures: set[tuple[object, ...]] = set()
        self._effects: dict[int, CallEffects] = {}
        """Host pid -> what its calls did to it."""
        self.last_activity = time.monotonic()
        """When a log last grew."""
        self.now_ns = 0
        """The time of the text that is being read."""
        self.on_signal: Callable[[ThreadLog, LoggedSignal], None] = lambda _log, _signal: None
        self.on_finished: Callable[[ThreadLog, Syscall], None] = lambda _log, _record: None
        self.own_fds_from = 1 << 31
        """From here on descriptors are the emulator's own."""
        self.on_forgery: Callable[[ThreadLog], None] = lambda _log: None
        """Called when a guest writes to a descriptor of the emulator's: it may be the log."""
        self.on_gap: Callable[[ThreadLog], None] = lambda _log: None
        """Called when calls of a log were skimmed: what comes next does not follow what came before."""

    def add(self, pid: int, tid: int, number: int, arch: Arch | None = None) -> ThreadLog:
        """Start the log of the thread `tid` of the process `pid`; one that it had is closed.

        `arch` is what its program is for, where that is not what the guest was started with.
        """
        self.forget(tid)
        self._logs_made += 1
        log = ThreadLog(pid, tid, number, arch or self._arch, self._logs_calls, self._held)
        log.key = self._logs_made
        self.logs[tid] = log
        self.opens.watch(log.fd)
        return log

    def tell_seen(self, on_seen: OnSeen) -> None:
        """Have `on_seen` complete each record of which something was seen while its call was held."""
        self._kept.on_seen = on_seen

    # ------------------------------------------------------------ reading

    def look(self) -> bool:
        """Note how long the logs are; return whether one has grown since the last look."""
        for log in self.logs.values():
            log.mark()
        # Held calls mark the logs too.
        before, self._looked = self._looked, sum(log.marked for log in self.logs.values())
        if self._looked != before:
            self.last_activity = time.monotonic()
        return self._looked != before

    def keep_up(self, seconds: float, is_wanted: Callable[[], bool] = lambda: False) -> bool:
        """Read for at most about `seconds`, skim what is too much; return whether all was read.

        Stops as soon as `is_wanted` says that somebody waits.
        """
        if self.backlog() > MAX_BACKLOG:
            self.skim(_LAST_WINDOW)
        deadline = time.monotonic() + seconds
        while (log := self._next()) is not None:
            if log.position >= log.window_end:
                log.window_end = log.marked
                log.skip_to = log.marked - _WINDOW
            if log.position < log.skip_to:
                self._advance(log, self._count, min(_SKIM_PORTION, log.skip_to - log.position))
            else:
                self._advance(log, self._read, _PORTION)
            if time.monotonic() > deadline or is_wanted():
                return self._next() is None
        return True

    def skim(self, keep: int) -> None:
        """Take in all but the last `keep` bytes that are waiting by counting them only."""
        left = self.backlog()
        while left > keep and (log := self._next()) is not None:
            left -= self._advance(log, self._count, min(_SKIM_PORTION, left - keep))

    def skip(self, log: ThreadLog) -> None:
        """Have all of a log but its newest text skimmed at the next chance."""
        log.window_end = log.position

    def drain(self, log: ThreadLog, complete: bool = False, keep: int = _LAST_WINDOW) -> None:
        """Take in all that one log holds now, skimming all but the last `keep` bytes.

        `complete`: its thread waits in a host call, so that its text is whole and no more comes.
        """
        if log.fd < 0:
            return
        if log.mark(complete):
            self.last_activity = time.monotonic()
        left = log.backlog()
        while log.marks:
            if left > keep:
                left -= self._advance(log, self._count, min(_SKIM_PORTION, left - keep))
            else:
                self._advance(log, self._read, _PORTION)

    def catch_up(self, log: ThreadLog) -> None:
        """Take in all that the log of a held thread holds; of long text only the end is read now."""
        self.drain(log, complete=True, keep=_SHORT if log.unread() <= _SHORT else _TAIL)

    def in_result(self, log: ThreadLog) -> list[Syscall]:
        """Return the pending calls of a thread that is held while it writes to its log."""
        log.reader.writes_result = True
        try:
            self.drain(log, complete=True)
            return self.pending(log)
        finally:
            log.reader.writes_result = False

    def drain_all(self, complete: bool = False) -> None:
        """Read what is new in every log, in the order in which it was written."""
        for log in self.logs.values():
            if log.mark(complete):
                self.last_activity = time.monotonic()
        self.skim(_LAST_WINDOW)
        while (log_ := self._next()) is not None:
            self._advance(log_, self._read, _PORTION)

    def backlog(self) -> int:
        """Return how many bytes of all logs are still to be read, up to their last marks."""
        return sum(log.backlog() for log in self.logs.values())

    def unread(self) -> int:
        """Return how many bytes of all logs are still to be read."""
        return sum(log.unread() for log in self.logs.values())

    def _next(self) -> ThreadLog | None:
        """Return the log whose oldest mark is the oldest of all."""
        found: ThreadLog | None = None
        for log in self.logs.values():
            if log.marks and (found is None or log.marks[0] < found.marks[0]):
                found = log
        return found

    def _advance(self, log: ThreadLog, take: _Take, limit: int) -> int:
        """Take in one portion of a log, up to its first mark; return its size."""
        mark = log.marks.popleft()
        # A quick series of marks is one portion, as long as no other log was marked between them.
        other = min(
            (one.marks[0] for one in self.logs.values() if one.marks and one is not log), default=None
        )
        while log.marks and log.marks[0].end - log.position <= limit and (not other or log.marks[0] < other):
            mark = log.marks.popleft()
        data = log.read(mark.end, limit)
        reached = len(data) < limit or log.position >= mark.end
        if not reached:
            log.marks.appendleft(mark)
        self.now_ns = max(self.now_ns, mark.ts_mono_ns)
        if self.full is not None:
            header = {"log": log.key, "tid": log.inner_tid, "arch": log.arch.name, "count": self.count}
            self.full.add(header | {"ts_mono_ns": self.now_ns, "whole": reached and mark.whole}, data)
        take(log, data, mark, reached and mark.whole)
        return max(1, len(data))

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
        if len(log.waits) > _MAX_EARLY:
            for end in [end for end in log.waits if end < log.reader.position - _TAIL]:
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
        log.reader.jump(begin + cut)
        if cut > base:
            log.reader.lost += base
            self._keep_raw(log, text[base:cut], begin + base)
        self._read(log, text[cut:], mark, whole)

    def _keep_raw(self, log: ThreadLog, text: bytes, at: int) -> None:
        names = calls_begun(text)
        raw = RawCalls(log.arch, log.inner_tid, self.count + 1, len(names), self.now_ns, text, at)
        end = at + len(text)
        while log.early and (offset := next(iter(log.early))) < end:
            raw.early[offset] = log.early.pop(offset)
        while log.seen and (offset := next(iter(log.seen))) < end:
            raw.seen[offset] = log.seen.pop(offset)
        raw.held, raw.waits = log.held, frozenset(offset for offset in log.waits if at < offset <= end)
        self.count += raw.count
        self.skimmed += raw.count
        self.failed += text.count(_FAILED) + text.count(_MISSING)
        log.last_signal = None
        for found in _HIGH_WRITE.finditer(text):
            self._look_for_forgery(log, found[1])
        for line, index in lasting_calls(text, set(names)):
            reader = StraceReader()
            reader.feed(line)
            for call in reader.finished:
                record = new_record(raw.first + min(index, raw.count - 1), call, log.arch, 0)
                set_result(record, call, log.arch)
                if record.errno is None:
                    self.effects(log.pid).note(record)
        self._kept.add(raw)
        self.on_gap(log)

    def _begin(self, log: ThreadLog, call: LoggedCall) -> None:
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
        set_result(record, call, log.arch)
        self._finish(log, record)

    def settle(self, log: ThreadLog, record: Syscall, ret: int) -> None:
        """Give a record of `log.unsettled` the result that the guest got."""
        log.unsettled = [other for other in log.unsettled if other is not record]
        set_value(record, ret, log.arch)
        self._finish(log, record)

    def _finish(self, log: ThreadLog, record: Syscall) -> None:
        if record.errno is not None:
            self.failed += 1
        elif record.name in RELEVANT:
            self.effects(log.pid).note(record)
        self._note_signature(record)
        self.on_finished(log, record)

    def _note_signature(self, record: Syscall) -> None:
        if len(self.signatures) < _MAX_SIGNATURES:
            self.signatures.add((record.name, record.path, record.request, record.errno))

    def effects(self, pid: int) -> CallEffects:
        """Return what the calls of a process did to it."""
        return self._effects.setdefault(pid, CallEffects())

    def inherit_effects(self, parent: int, child: int) -> None:
        """A process has forked: its child begins with what its calls did so far."""
        self._effects[child] = self.effects(parent).copy()

    def forget_process(self, pid: int) -> None:
        """Let go of a process that is gone, and of its logs."""
        for log in self.of_process(pid):
            self.forget(log.tid)
        self._effects.pop(pid, None)

    # ------------------------------------------------------------ what was read

    @property
    def history(self) -> deque[Syscall]:
        """The newest calls that were read; between two of them others may have been skimmed."""
        return self._history

    def newest(self) -> list[Syscall]:
        """Return the newest calls, oldest first, none left out between them."""
        history = bound_times(list(self._history))
        if not history:
            return history
        wanted = min(self._history_size, history[-1].seq)
        if len(history) == wanted and history[-1].seq - history[0].seq < wanted:
            return history
        newest = self._kept.newest(wanted, self._note_signature)
        kept = {record.seq: record for record in (*newest, *history)}
        return bound_times([kept[seq] for seq in sorted(kept)[-self._history_size :]])

    def kept(self) -> list[Syscall]:
        """Return the calls for the trace file: from the first one on, and up to the last one."""
        return bound_times(self._kept.records(self._note_signature))

    @property
    def left_out(self) -> int:
        """How many calls in the middle are not in the trace file."""
        return self._kept.left_out

    def current(self, log: ThreadLog) -> Syscall | None:
        """Return the record of the call that the thread of this log waits in, without reading the rest."""
        log.mark(whole=True)
        self.last_activity = time.monotonic()
        if log.backlog() > _SMALL and not log.is_altered and (call := log.peek()) is not None:
            record = log.early.get(call.at)
            if record is None:
                record = log.early[call.at] = new_record(0, call, log.arch, time.monotonic_ns())
            return record
        self.drain(log, complete=True)
        pending = self.pending(log)
        return pending[-1] if pending else None

    def begin_watched(self, log: ThreadLog, call: LoggedCall) -> Syscall:
        """Take in a call that no log tells of; the one before it has ended without a known result."""
        self.end_watched(log, None)
        self.now_ns = max(self.now_ns, time.monotonic_ns())
        self.last_activity = time.monotonic()
        log.reader.pending.append(call)
        self._begin(log, call)
        return log.records[id(call)]

    def end_watched(self, log: ThreadLog, result: bytes | None) -> None:
        """End the call that `begin_watched` began, with a result in the form of the log if it is known."""
        while log.reader.pending:
            call = log.reader.pending.pop()
            call.result = result
            self._end(log, call)

    def pending(self, log: ThreadLog) -> list[Syscall]:
        """Return the records of the calls of this thread that have not returned, oldest first."""
        return [log.records[id(call)] for call in log.reader.pending if id(call) in log.records]

    def of_process(self, pid: int) -> list[ThreadLog]:
        """Return the logs of one process."""
        return [log for log in self.logs.values() if log.pid == pid]

    def forget(self, tid: int) -> None:
        """Read the rest of a thread's log and close it."""
        log = self.logs.pop(tid, None)
        if log is not None:
            with contextlib.suppress(OSError):
                self.drain(log)
            log.close()

    def close(self) -> None:
        """Close all logs."""
        self.opens.close()
        for log in self.logs.values():
            log.close()
        self.logs.clear()
        if self.full is not None:
            self.full.close()
            self.full = None
