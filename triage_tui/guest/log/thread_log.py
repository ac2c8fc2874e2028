"""The log of one guest thread, as its emulator writes it: a memory file, read in the order of its marks."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import time
from collections import deque
from typing import NamedTuple

from triage_tui.guest.arch import Arch
from triage_tui.guest.emulator.return_stub import MARKER_CALL, MARKER_WHENCE
from triage_tui.guest.host import process
from triage_tui.guest.host.libc import libc
from triage_tui.guest.log.logged_items import LoggedCall, LoggedSignal
from triage_tui.guest.log.strace import NEXT_CALL, StraceReader, read_pending, without_remark
from triage_tui.runs.model import Syscall

_FREE_STEP = 1 << 20
"""Log bytes after which their memory is given back."""
_PUNCH_HOLE_KEEP_SIZE = 3
_PEEK = 4096
_MOST_BEFORE = 8 << 20
"""Bytes before the place to go on at in which a place is looked for where a call certainly begins."""
_MOST_GROWN = 1 << 24
"""Bytes by which a log may grow between two looks before it is looked at whether all of them were written."""
_MOST_REGISTERS = 512
"""Bytes of the emulator's CPU state that are looked at in each held call."""

_MARKER = re.compile(
    rb"\d{1,10} %s\([^()\n]*\b(?:%d|%#x)\b[^()\n]*\)\Z" % (MARKER_CALL.encode(), MARKER_WHENCE, MARKER_WHENCE)
)


class Mark(NamedTuple):
    """A moment at which the log's length was looked at."""

    ts_mono_ns: int
    end: int
    whole: bool
    """Its thread waited in a host call then, so that the text of its call ends exactly here."""


class Seen(NamedTuple):
    """What a held call showed that its text does not."""

    host: str
    """The host syscall."""
    registers: bytes
    """The thread's general registers, as the emulator keeps them."""
    pc_offset: int | None
    """Where the program counter lies among them."""
    path: bytes | None


class Settled(NamedTuple):
    """A record that has its result, whatever its text says."""

    record: Syscall
    text_fails: bool
    """The text says that the call failed."""


def _log_file() -> tuple[int, int]:
    """Return two descriptors of a new memory file: one to read it, one that only ever appends to it.

    A guest can name descriptors of its emulator in its own calls. With the second one it cannot shorten the
    file, and neither read nor write at another place than its end. Nor can it open it once more for
    writing, unless it has a capability over files of ours: then its root is the user who runs this.
    """
    fd = os.memfd_create("emulator-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        # Opened once more: a duplicate would share our flags.
        writer = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.fchmod(fd, 0o400)
        return fd, writer
    except BaseException:
        os.close(fd)
        raise


class ThreadLog:
    """The log of one guest thread. What is written is read later, mark by mark; nothing waits for that."""

    def __init__(
        self,
        pid: int,
        tid: int,
        number: int,
        arch: Arch,
        logs_calls: bool = True,
        held: frozenset[bytes] = frozenset(),
    ) -> None:
        self.pid = pid
        self.tid = tid
        self.arch = arch
        """What the thread executes."""
        self.key = 0
        """A number of its own among all logs of the run."""
        self.registers_size = min(arch.env_span, _MOST_REGISTERS)
        self.inner_tid = process.inner_pid(tid)
        """Its id as the guest sees it."""
        self.number = number
        """The descriptor by which the thread's process knows it."""
        self.fd, self.writer = _log_file()
        """Our descriptor of it, and the one for the emulator."""
        self.held = held
        """Calls in which the thread is always held."""
        self.waits: dict[int, None] = {}
        """Offsets at which the thread was held: there the text of a call ends. Old ones are dropped."""
        self.reader = StraceReader(logs_calls, held, self.waits)
        self.records: dict[int, Syscall] = {}
        """id(LoggedCall) -> its record, for calls that have not returned."""
        self.latest: Syscall | None = None
        """The record of the call that was read last."""
        self.early: dict[int, Syscall] = {}
        """Offset of a call's text -> its record, made while the call was held and the text not yet read."""
        self.seen: dict[int, Seen] = {}
        """Offset of the end of a call's text -> what was seen while the call was held."""
        self.asked: Syscall | None = None
        """The record of the call that rules were asked about last because QEMU answers it by itself."""
        self.last_signal: LoggedSignal | None = None
        """The signal that was delivered last, when nothing came after it."""
        self.unsettled: list[Syscall] = []
        """Records whose result is not the one in the log: `Trace.settle` sets it."""
        self.repeated: Syscall | None = None
        """The record of the call that the thread is about to make again with other arguments."""
        self.markers = 0
        """How many calls of the engine's own (see `return_stub`) are still to come in this log."""
        self.passed_markers: dict[int, bool] = {}
        """Offset of the text of each such call that came and was not read -> whether its result fails."""
        self.settled: dict[int, Settled] = {}
        """id(record) -> what the guest got instead of the result in text that was not read."""
        self.marks: deque[Mark] = deque()
        self.marked = 0
        """Length at the last mark."""
        self.suspected = False
        """A loop was found in text that was old by then; found once more, it counts."""
        self.position = 0
        """How much of it was read."""
        self.skip_to = 0
        """What lies before this offset need only be skimmed."""
        self.window_end = 0
        """Up to this offset the text is read in one piece."""
        self._freed = 0
        self.lengthened = False
        """Whether it was made longer without being written to."""
        self._gaps: deque[tuple[int, int]] = deque()
        """(start, end) of what was never written, in pages, and not reached yet."""
        self.passed_over = 0
        """Bytes that were passed over before the next call that is taken in."""
        self.untold = 0
        """Those of them that the full trace was not told of."""

    @property
    def is_altered(self) -> bool:
        """Whether what comes next in the log is not what the guest gets to see: it has to be read."""
        return bool(self.markers or self.unsettled or self.repeated is not None)

    def size(self) -> int:
        """Return how many bytes have been written."""
        return 0 if self.fd < 0 else os.fstat(self.fd).st_size

    def unread(self) -> int:
        """Return how many bytes have been written and not read."""
        return max(0, self.size() - self.position)

    def backlog(self) -> int:
        """Return how many bytes were written up to the last mark and not read."""
        never_written = sum(end - start for start, end in self._gaps) if self._gaps else 0
        return max(0, self.marked - self.position - never_written)

    def mark(self, whole: bool = False) -> bool:
        """Note how long the log is now; return whether it has grown since the last time."""
        size = self.size()
        grown = size > self.marked
        if size - self.marked > _MOST_GROWN:
            self._look_for_gaps(size)
        if grown or (whole and not (self.marks and self.marks[-1].whole)):
            self.marks.append(Mark(time.monotonic_ns(), size, whole))
            self.marked = size
        if whole and self.held:
            self.waits[size] = None
        return grown

    def read(self, end: int, limit: int) -> bytes:
        """Return what follows what was read, up to the offset `end` and at most `limit` bytes."""
        after = bool(self._gaps) and self.position >= self._gaps[0][0]
        if after:
            _start, begin = self._gaps.popleft()
            self.reader.leave_out(begin - self.position)
            self.position = begin
        if self._gaps:
            end = min(end, self._gaps[0][0])
        data = os.pread(self.fd, max(0, min(limit, end - self.position)), self.position)
        self.position += len(data)
        if after or (self._gaps and self.position == self._gaps[0][0]):
            # A gap begins and ends within pages.
            text = data.strip(b"\0")
            self.reader.leave_out(len(data) - len(text))
            data = text
        if self.position - self._freed > _FREE_STEP:
            self._free()
        return data

    def _free(self) -> None:
        """Give back the memory of what was read."""
        length = (self.position & ~0xFFF) - self._freed
        libc.fallocate(self.fd, _PUNCH_HOLE_KEEP_SIZE, ctypes.c_long(self._freed), ctypes.c_long(length))
        self._freed += length

    def pass_over(self, keep: int) -> int:
        """Give up what is waiting but for about the last `keep` bytes; return how many bytes were given up.

        Reading goes on where a call begins. Where the thread was held that is certain; else it is a line that
        looks like one, and may be in a string of the guest's own.
        """
        target = self.marked - keep
        if target <= self.position:
            return 0
        start, certain = self._beginning(target)
        for hole, end in self._gaps:
            if hole <= start < end:
                start, certain = hole, False
        if start <= self.position:
            return 0
        passed = start - self.reader.position
        self.reader.jump(start, certain)
        self.position = start
        while self.marks and self.marks[0].end <= start:
            self.marks.popleft()
        while self._gaps and self._gaps[0][1] <= start:
            self._gaps.popleft()
        for end in [end for end in self.waits if end < start]:
            del self.waits[end]
        self._free()
        self.passed_over += passed
        self.untold += passed
        return passed

    def _beginning(self, target: int) -> tuple[int, bool]:
        """Return where a call begins near the offset `target`, and whether that is certain."""
        waits = [end for end in self.waits if target - _MOST_BEFORE <= end < self.marked]
        before = [end for end in waits if end <= target]
        for end in (*before[-1:], *(end for end in waits if end > target)):
            # What follows is the result of the call in which it was held, which holds no string.
            text = os.pread(self.fd, _PEEK, end)
            if (line := text.find(b"\n") + 1) and end + line <= self.marked:
                return end + line, True
        text = os.pread(self.fd, self.marked - target, target)
        found = NEXT_CALL.search(text)
        return (target + found.start() + 1 if found else self.marked), False

    def _look_for_gaps(self, size: int) -> None:
        at = self.marked
        while at < size and (start := os.lseek(self.fd, at, os.SEEK_HOLE)) < size:
            try:
                at = os.lseek(self.fd, start, os.SEEK_DATA)
            except OSError:
                # Nothing was written behind it.
                at = size
            self.lengthened = True
            self._gaps.append((start, at))

    def peek(self, in_result: bool = False) -> LoggedCall | None:
        """Return the call in which the log's thread waits, from the end of its text alone.

        `in_result`: it waits while it writes that call's result, or a remark about it. None when the end of
        the text does not show the call without doubt: then the whole text has to be read.
        """
        start, text = self._tail()
        if in_result:
            text = without_remark(text)
        line = text.rfind(b"\n", 0, len(text) - 1) + 1
        if line == 0 and start > self.reader.position:
            return None
        call = read_pending(text[line:])
        if call is not None:
            call.at = start + line
        return call

    def peek_marker(self) -> int | None:
        """Return the offset of the text of the engine's own call if the thread waits in that, else None."""
        start, text = self._tail()
        line = text.rfind(b"\n") + 1
        return start + line if line and _MARKER.match(text, line) else None

    def _tail(self) -> tuple[int, bytes]:
        """Return the text up to the last mark as far as it is looked at without reading, and its offset."""
        start = max(self.reader.position, self.marked - _PEEK)
        return start, os.pread(self.fd, self.marked - start, start)

    def close(self) -> None:
        """Let go of the log."""
        if self.fd >= 0:
            os.close(self.fd)
            os.close(self.writer)
            self.fd = self.writer = -1
