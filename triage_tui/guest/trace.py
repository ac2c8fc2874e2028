"""The history of a guest: one emulator log per thread, read into one sequence of `Syscall` records."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections import deque
from collections.abc import Callable

from triage_tui.guest.arch import Arch
from triage_tui.guest.call_effects import RELEVANT, CallEffects
from triage_tui.guest.return_stub import MARKER_CALL, MARKER_WHENCE
from triage_tui.guest.strace import LoggedCall, LoggedSignal, StraceReader, split_arguments
from triage_tui.guest.syscall_record import new_record, set_result, set_value
from triage_tui.runs.model import Syscall

_READ_SIZE = 1 << 18
_FREE_STEP = 4 << 20
"""Log bytes after which their memory is given back."""
_PUNCH_HOLE_KEEP_SIZE = 3

_libc = ctypes.CDLL(None, use_errno=True)


def is_marker(call: LoggedCall) -> bool:
    """Return whether a call of the log is the engine's own, see `return_stub`."""
    shown = (str(MARKER_WHENCE).encode(), hex(MARKER_WHENCE).encode())
    return any(argument in shown for argument in split_arguments(call.arguments))


class ThreadLog:
    """The log of one guest thread: a memory file that its emulator writes and we read."""

    def __init__(self, pid: int, tid: int, number: int, arch: Arch) -> None:
        self.pid = pid
        self.tid = tid
        self.arch = arch
        """What the thread executes."""
        self.number = number
        """The descriptor by which the thread's process knows it."""
        self.fd = os.memfd_create("emulator-log", os.MFD_CLOEXEC)
        self.reader = StraceReader()
        self.records: dict[int, Syscall] = {}
        """id(LoggedCall) -> its record, for calls that have not returned."""
        self.last_signal: LoggedSignal | None = None
        """The signal that was delivered last, when nothing came after it."""
        self.unsettled: list[Syscall] = []
        """Records whose result is not the one in the log: `Trace.settle` sets it."""
        self.repeated: Syscall | None = None
        """The record of the call that the thread is about to make again with other arguments."""
        self.markers = 0
        """How many calls of the engine's own (see `return_stub`) are still to come in this log."""
        self._offset = 0
        self._freed = 0

    def unread(self) -> int:
        """Return how many bytes have been written and not read."""
        return 0 if self.fd < 0 else max(0, os.fstat(self.fd).st_size - self._offset)

    def read(self) -> bytes:
        """Return what was written since the last time."""
        data = os.pread(self.fd, _READ_SIZE, self._offset)
        self._offset += len(data)
        if self._offset - self._freed > _FREE_STEP:
            _libc.fallocate(
                self.fd,
                _PUNCH_HOLE_KEEP_SIZE,
                ctypes.c_long(self._freed),
                ctypes.c_long(self._offset - self._freed),
            )
            self._freed = self._offset & ~0xFFF
        return data

    def abandon_pending(self) -> None:
        """Forget calls whose result was lost while the log was closed."""
        self.reader.pending.clear()
        self.records.clear()

    def close(self) -> None:
        """Let go of the log."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Trace:
    """All records of a run: the newest ones in memory, and up to a cap for the trace file."""

    def __init__(self, arch: Arch, history: int, cap: int) -> None:
        self._arch = arch
        self._cap = cap
        self.logs: dict[int, ThreadLog] = {}
        """Host tid -> log."""
        self.history: deque[Syscall] = deque(maxlen=history)
        self.full: list[Syscall] = []
        self.count = 0
        self.failed = 0
        self.signatures: set[tuple[object, ...]] = set()
        self._effects: dict[int, CallEffects] = {}
        """Host pid -> what its calls did to it."""
        self.last_activity = time.monotonic()
        """When a log last grew."""
        self.on_signal: Callable[[ThreadLog, LoggedSignal], None] = lambda _log, _signal: None
        self.on_finished: Callable[[ThreadLog, Syscall], None] = lambda _log, _record: None

    def add(self, pid: int, tid: int, number: int, arch: Arch | None = None) -> ThreadLog:
        """Start the log of the thread `tid` of the process `pid`; one that it had is closed.

        `arch` is what its program is for, where that is not what the guest was started with.
        """
        self.forget(tid)
        log = ThreadLog(pid, tid, number, arch or self._arch)
        self.logs[tid] = log
        return log

    def drain(self, log: ThreadLog, complete: bool = False) -> None:
        """Read what is new in one log.

        `complete`: its thread waits in a host call, so that its text is whole and no more comes. Without it
        at most one portion is read: a busy guest writes faster than it can be read.
        """
        if log.fd < 0:
            return
        while True:
            data = log.read()
            if not data and not complete:
                return
            if data:
                self.last_activity = time.monotonic()
            now = time.monotonic_ns()
            for item in log.reader.feed(data, complete and len(data) < _READ_SIZE):
                if isinstance(item, LoggedSignal):
                    log.last_signal = item
                    self.on_signal(log, item)
                else:
                    log.last_signal = None
                    self._begin(log, item, now)
            for call in log.reader.finished:
                self._end(log, call)
            log.reader.finished.clear()
            if len(data) < _READ_SIZE or not complete:
                return

    def unread(self) -> int:
        """Return how many bytes of all logs are still to be read."""
        return sum(log.unread() for log in self.logs.values())

    def drain_all(self, complete: bool = False) -> None:
        """Read what is new in every log."""
        for log in list(self.logs.values()):
            self.drain(log, complete)

    def _begin(self, log: ThreadLog, call: LoggedCall, now: int) -> None:
        if log.markers and call.name == MARKER_CALL and is_marker(call):
            log.markers -= 1
            return
        if log.repeated is not None and call.name in (log.repeated.name, f"syscall_{log.repeated.num}"):
            log.records[id(call)], log.repeated = log.repeated, None
            return
        self.count += 1
        record = new_record(self.count, call, log.arch, now)
        log.records[id(call)] = record
        self.history.append(record)
        if len(self.full) < self._cap:
            self.full.append(record)

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
        if len(self.signatures) < 65536:
            self.signatures.add((record.name, record.path, record.request, record.errno))
        self.on_finished(log, record)

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
        for log in self.logs.values():
            log.close()
        self.logs.clear()
