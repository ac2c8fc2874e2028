"""What is kept of a long history: its first and its last calls, as records or as text that was not read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.log.logged_items import LoggedCall, LoggedSignal, LongerCall
from triage_tui.guest.log.strace import StraceReader
from triage_tui.guest.log.syscall_record import new_record, set_result
from triage_tui.guest.log.thread_log import Seen
from triage_tui.runs.model import Syscall

OnSeen = Callable[[Arch, Syscall, Seen], None]


class RawCalls(msgspec.Struct):
    """Whole lines of one thread's log that were counted and not read. Its calls have seq `first` and on."""

    arch: Arch
    tid: int
    """The thread, as the guest sees it."""
    first: int
    count: int
    ts_mono_ns: int
    text: bytes
    at: int
    """Offset of the text in its log."""
    early: dict[int, Syscall] = msgspec.field(default_factory=dict)
    """Offset of a call -> the record that it already has."""
    seen: dict[int, Seen] = msgspec.field(default_factory=dict)
    markers: frozenset[int] = frozenset()
    """Offsets of calls that are the engine's own."""
    settled: frozenset[int] = frozenset()
    """id() of each record of `early` that has its result, whatever the text says."""
    held: frozenset[bytes] = frozenset()
    waits: frozenset[int] = frozenset()
    """See `StraceReader`."""
    note: str | None = None
    """What is to be said of the first call."""

    def read(self, on_seen: OnSeen) -> Iterator[Syscall]:
        """Return the records of the calls, made now."""
        reader = StraceReader(True, self.held, self.waits)
        reader.jump(self.at)
        records: dict[int, Syscall] = {}
        ordered: list[Syscall] = []
        for item in reader.feed(self.text, complete=True):
            if isinstance(item, LoggedSignal):
                if ordered:
                    add_note(ordered[-1], f"then {item.name} was delivered")
                continue
            if isinstance(item, LongerCall):
                fresh = new_record(0, item.call, self.arch, self.ts_mono_ns)
                ordered[-1].arguments, ordered[-1].path = fresh.arguments, fresh.path
                ordered[-1].note = item.call.note
                continue
            if item.at in self.markers:
                continue
            record = make_record(item, self.arch, self.ts_mono_ns, self.early)
            if item.end in self.seen:
                on_seen(self.arch, record, self.seen[item.end])
            # Counting and reading agree but for text that the guest made up.
            record.tid = self.tid
            record.seq = self.first + min(len(ordered), self.count - 1)
            records[id(item)] = record
            ordered.append(record)
        for call in reader.finished:
            finished = records.get(id(call))
            if finished is None:
                continue
            if id(finished) in self.settled:
                finished.note = finished.note or call.note
            else:
                set_result(finished, call, self.arch)
        if self.note and ordered:
            add_note(ordered[0], self.note)
        yield from ordered[: self.count]


def add_note(record: Syscall, text: str) -> None:
    """Add a clause to the note of a record."""
    record.note = f"{record.note}; {text}" if record.note else text


def make_record(call: LoggedCall, arch: Arch, now_ns: int, early: dict[int, Syscall]) -> Syscall:
    """Return the record of a call: the one that it has had since it was held, else a new one; seq is 0."""
    if early:
        record = early.pop(call.at, None)
        if record is not None and record.pid == call.pid:
            record.note = record.note or call.note
            return record
    return new_record(0, call, arch, now_ns)


def bound_times(records: list[Syscall]) -> list[Syscall]:
    """Let no call of `records`, oldest first, be later than the one after it; return them.

    The time of a call that was not held is when its log was read, which may be after the exact time of a
    held call that came later.
    """
    for earlier, later in zip(reversed(records[:-1]), reversed(records[1:]), strict=True):
        earlier.ts_mono_ns = min(earlier.ts_mono_ns, later.ts_mono_ns)
    return records


Entry = Syscall | RawCalls


MAX_TEXT = 32 << 20
"""Bytes that the text of all kept calls may have; usual calls have a tenth of that."""


def _size(entry: Entry) -> int:
    return entry.count if isinstance(entry, RawCalls) else 1


def _bytes(entry: Entry) -> int:
    if isinstance(entry, RawCalls):
        return len(entry.text)
    return sum(map(len, entry.arguments)) + len(entry.path or "")


class KeptCalls:
    """The first half and the last half of at most `cap` calls and MAX_TEXT bytes, in the order of seq."""

    def __init__(self, cap: int, on_seen: OnSeen = lambda _arch, _call, _seen: None) -> None:
        self._half = max(1, cap // 2)
        self._head: list[Entry] = []
        self._head_size = self._head_bytes = 0
        self._tail: deque[Entry] = deque()
        self._tail_size = self._tail_bytes = 0
        self.left_out = 0
        """Calls between head and tail that are not kept."""
        self.on_seen = on_seen

    def add(self, entry: Entry) -> None:
        """Append a call or a stretch of calls."""
        size, text = _size(entry), _bytes(entry)
        if self._head_size < self._half and self._head_bytes < MAX_TEXT // 2:
            self._head.append(entry)
            self._head_size += size
            self._head_bytes += text
            return
        self._tail.append(entry)
        self._tail_size += size
        self._tail_bytes += text
        while self._tail_size - _size(first := self._tail[0]) >= self._half or (
            self._tail_bytes > MAX_TEXT // 2 and len(self._tail) > 1
        ):
            self._tail.popleft()
            self._tail_size -= _size(first)
            # Of a call that was read since, less may be kept.
            self._tail_bytes = max(0, self._tail_bytes - _bytes(first))
            self.left_out += _size(first)

    def records(self, on_read: Callable[[Syscall], None] = lambda _call: None) -> list[Syscall]:
        """Return all that is kept, oldest first; what was not read is read now, and told to `on_read`."""
        self._head = list(self._read(self._head, on_read))
        self._tail = deque(self._read(self._tail, on_read))
        self._tail_bytes = sum(map(_bytes, self._tail))
        return [entry for part in (self._head, self._tail) for entry in part if isinstance(entry, Syscall)]

    def newest(self, count: int, on_read: Callable[[Syscall], None]) -> list[Syscall]:
        """Return at least the newest `count` of what is kept, oldest first, and read only what that takes."""
        found: deque[Syscall] = deque()
        for part in self._tail, self._head:
            read: deque[Syscall] = deque()
            while part and len(read) + len(found) < count:
                read.extendleft(reversed(list(self._read([part.pop()], on_read))))
            part.extend(read)
            found.extendleft(reversed(read))
        self._tail_bytes = sum(map(_bytes, self._tail))
        return list(found)

    def _read(self, entries: Iterable[Entry], on_read: Callable[[Syscall], None]) -> Iterator[Syscall]:
        for entry in entries:
            if isinstance(entry, Syscall):
                yield entry
                continue
            for record in entry.read(self.on_seen):
                on_read(record)
                yield record
