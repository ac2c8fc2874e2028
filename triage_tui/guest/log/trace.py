"""The history of a guest: one emulator log per thread, read into one sequence of `Syscall` records.

The logs are the truth, and the guest never waits for their reader. Each log's length is noted from time to
time (`ThreadLog.mark`), and the logs are read in the order of these marks, which gives all threads one order
and each call a time. A guest can call faster than its log can be read. Then the older part of what is waiting
is only skimmed: its calls are counted, its text is kept within the cap of the trace, and read when somebody
asks for it. What is too much for that is passed over: no call of it is known, and the record says so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from triage_tui.guest.arch import Arch
from triage_tui.guest.log.call_effects import RELEVANT
from triage_tui.guest.log.call_records import CallRecords
from triage_tui.guest.log.full_trace import FullTrace
from triage_tui.guest.log.log_opens import LogOpens
from triage_tui.guest.log.logged_items import LoggedCall
from triage_tui.guest.log.syscall_record import new_record
from triage_tui.guest.log.thread_log import Mark, ThreadLog
from triage_tui.runs.model import Syscall

_PORTION, _SKIM_PORTION = 1 << 10, 1 << 15
"""Log bytes that are read, or skimmed, in one go of a quarter of a millisecond: so long may a call wait."""
MAX_BACKLOG = 16 << 20
"""Bytes of all logs that may wait to be read; more is skimmed."""
MAX_UNREAD = 64 << 20
"""Bytes of all logs that may wait to be skimmed; more is passed over: the logs are in memory."""
_SKIM_S, _DRAIN_S = 0.1, 2.0
"""Seconds that skimming may take before something else is looked at, and before the rest is passed over.

Of this thread's own computing: what is known of a guest must not depend on what else the machine has to do.
"""
_WINDOW = 1 << 19
"""Text that is read in one piece, so that long sequences are recognised; what came meanwhile is skimmed."""
_LAST_WINDOW = 1 << 17
"""Bytes that are read when nothing may wait: the guest is being frozen."""
_SHORT, _TAIL = 1 << 15, 1 << 13
"""Where a thread waits and only its newest calls matter: longer text than this is skimmed but for its end."""
_SMALL = 64
"""Text that is rather read than looked at from its end."""

_Take = Callable[[ThreadLog, bytes, Mark, bool], None]


def _portion(log: ThreadLog, usual: int) -> int:
    """Return how much of a log is taken in at once: of a long string more, which is looked at each time."""
    return max(usual, log.reader.buffered // 4)


class Trace(CallRecords):
    """The logs of all threads, and the calls that were read from them."""

    def __init__(
        self,
        arch: Arch,
        history: int,
        cap: int,
        logs_calls: bool = True,
        held: frozenset[bytes] = frozenset(),
    ) -> None:
        """`held`: the calls in which a thread is always held, see `own_text.held_calls`."""
        super().__init__(history, cap)
        self._arch = arch
        self._held = held
        self._logs_calls = logs_calls
        self.logs: dict[int, ThreadLog] = {}
        """Host tid -> log."""
        self._logs_made = 0
        self.opens = LogOpens()
        self._lengthened = False
        self._looked = 0
        """Length of all logs at the last look."""
        self.full: FullTrace | None = None
        """Where all text is kept, if somebody wants it."""
        self.last_activity = time.monotonic()
        """When a log last grew."""

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
        if (waiting := self.backlog()) > MAX_UNREAD:
            self.pass_over()
        elif waiting > MAX_BACKLOG:
            self.skim(_LAST_WINDOW, _SKIM_S)
        deadline = time.monotonic() + seconds
        while (log := self._next()) is not None:
            if log.position >= log.window_end:
                log.window_end = log.marked
                log.skip_to = log.marked - _WINDOW
            if log.position < log.skip_to:
                self._advance(log, self._count, min(_portion(log, _SKIM_PORTION), log.skip_to - log.position))
            else:
                self._advance(log, self._read, _portion(log, _PORTION))
            if time.monotonic() > deadline or is_wanted():
                return self._next() is None
        return True

    def skim(self, keep: int, seconds: float = _DRAIN_S) -> bool:
        """Take in all but the last `keep` bytes that are waiting by counting them only.

        Returns whether that was done within `seconds`.
        """
        left = self.backlog()
        deadline = time.thread_time() + seconds
        while left > keep and (log := self._next()) is not None:
            if time.thread_time() > deadline:
                return False
            left -= self._advance(log, self._count, min(_portion(log, _SKIM_PORTION), left - keep))
        return True

    def pass_over(self) -> None:
        """Give up all but the newest text of each log."""
        for log in self.logs.values():
            self._pass_over(log, min(_WINDOW, MAX_BACKLOG // len(self.logs)))

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
        if log.backlog() > MAX_UNREAD:
            self._pass_over(log, _WINDOW)
        left = log.backlog()
        deadline = time.thread_time() + _DRAIN_S
        while log.marks:
            if left > keep:
                left -= self._advance(log, self._count, min(_portion(log, _SKIM_PORTION), left - keep))
                if time.thread_time() > deadline:
                    self._pass_over(log, max(keep, _WINDOW))
                    left = log.backlog()
                    deadline += _DRAIN_S
            else:
                self._advance(log, self._read, _portion(log, _PORTION))

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
        if self.backlog() > MAX_UNREAD or not self.skim(_LAST_WINDOW):
            self.pass_over()
            self.skim(_LAST_WINDOW)
        while (log_ := self._next()) is not None:
            self._advance(log_, self._read, _portion(log_, _PORTION))

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
        reached = log.position >= mark.end
        if not reached:
            log.marks.appendleft(mark)
        self.now_ns = max(self.now_ns, mark.ts_mono_ns)
        if self.full is not None:
            header = {"log": log.key, "tid": log.inner_tid, "arch": log.arch.name, "count": self.count}
            if log.untold:
                header["passed_over"], log.untold = log.untold, 0
            self.full.add(header | {"ts_mono_ns": self.now_ns, "whole": reached and mark.whole}, data)
        take(log, data, mark, reached and mark.whole)
        return max(1, len(data))

    def forget_process(self, pid: int) -> None:
        """Let go of a process that is gone, and of its logs."""
        for log in self.of_process(pid):
            self.forget(log.tid)
        self._effects.pop(pid, None)

    def current(self, log: ThreadLog) -> Syscall | None:
        """Return the record of the call that the thread of this log waits in, without reading the rest."""
        log.mark(whole=True)
        self.last_activity = time.monotonic()
        if (record := self._peeked(log)) is not None:
            return record
        self.drain(log, complete=True)
        pending = self.pending(log)
        return pending[-1] if pending else None

    def being_served(self, log: ThreadLog) -> Syscall | None:
        """Return the record of the call about which a thread is held while it writes to its log.

        The rest of the log is not read.
        """
        log.mark(whole=True)
        self.last_activity = time.monotonic()
        return self._peeked(log, True) or next(iter(self.in_result(log)[-1:]), None)

    def _peeked(self, log: ThreadLog, in_result: bool = False) -> Syscall | None:
        if log.backlog() <= _SMALL or log.is_altered or (call := log.peek(in_result)) is None:
            return None
        record = log.early.get(call.at)
        if record is None:
            record = log.early[call.at] = new_record(0, call, log.arch, time.monotonic_ns())
        return record

    def pass_marker(self, log: ThreadLog, record: Syscall) -> bool:
        """Take note, without reading, that a thread waits in the engine's own call behind that of `record`.

        False: the log has to be read.
        """
        if log.markers != 1 or log.repeated is not None or record.seq or record.name in RELEVANT:
            return False
        log.mark(whole=True)
        self.last_activity = time.monotonic()
        at = log.peek_marker()
        if at is None:
            return False
        log.markers = 0
        log.passed_markers[at] = False
        return True

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

    @property
    def was_lengthened(self) -> bool:
        """Whether something but text was put into a log."""
        return self._lengthened or any(log.lengthened for log in self.logs.values())

    def of_process(self, pid: int) -> list[ThreadLog]:
        """Return the logs of one process."""
        return [log for log in self.logs.values() if log.pid == pid]

    def forget(self, tid: int) -> None:
        """Read the rest of a thread's log and close it."""
        log = self.logs.pop(tid, None)
        if log is not None:
            with contextlib.suppress(OSError):
                self.drain(log)
            self._lengthened |= log.lengthened
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
