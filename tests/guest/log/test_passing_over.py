"""Logs that are written faster than they can be read: what is given up, and what is known all the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from triage_tui.guest.arch import by_name
from triage_tui.guest.log import trace as reading
from triage_tui.guest.log.full_trace import FILE, FullTrace, read_full_trace
from triage_tui.guest.log.kept_calls import MAX_TEXT
from triage_tui.guest.log.strace import StraceReader
from triage_tui.guest.log.thread_log import ThreadLog
from triage_tui.guest.log.trace import Trace

HELD = frozenset((b"mkdir", b"setuid"))
LINE = b'2 access("/%s",F_OK) = -1 errno=2 (No such file or directory)\n'
FLOOD = LINE % (b"x" * 40_000)
MUCH = FLOOD * (reading.MAX_UNREAD // len(FLOOD) + 1)


@pytest.fixture
def trace() -> Iterator[Trace]:
    made = Trace(by_name("arm"), history=4096, cap=50_000, held=HELD)
    yield made
    made.close()


def write(log: ThreadLog, text: bytes) -> None:
    at = 0
    while at < len(text):
        at += os.write(log.writer, memoryview(text)[at:])


def hold(log: ThreadLog, text: bytes) -> None:
    """Have the thread held at the end of `text`."""
    write(log, text)
    log.mark(whole=True)


def take_in(trace: Trace, how: str) -> None:
    if how == "running":
        trace.look()
        while not trace.keep_up(60.0):
            pass
    elif how == "frozen":
        trace.drain_all(complete=True)
    else:
        for tid in list(trace.logs):
            trace.forget(tid)


@pytest.mark.parametrize("how", ["running", "frozen", "ended"])
def test_the_newest_calls_are_read_and_the_gap_is_noted(trace: Trace, how: str) -> None:
    log = trace.add(10, 10, 1028)
    gaps: list[int] = []
    trace.on_gap = lambda _log, calls: gaps.append(calls)
    write(log, b"2 getpid() = 2\n")
    trace.look()
    assert trace.keep_up(1.0)
    write(log, MUCH + b"2 getppid() = 1\n")
    fd = os.dup(log.fd)
    take_in(trace, how)
    assert trace.passed_over > reading.MAX_UNREAD // 2
    # Its memory is given back.
    assert os.fstat(fd).st_blocks * 512 < 4 << 20
    os.close(fd)
    kept = trace.kept()
    assert [kept[0].name, kept[-1].name] == ["getpid", "getppid"]
    assert {call.name for call in kept[1:-1]} == {"access"}
    assert {call.errno for call in kept[1:-1]} == {"ENOENT"}
    assert [call.seq for call in kept] == list(range(1, len(kept) + 1))
    noted = [call.seq for call in kept if call.note and "were passed over" in call.note]
    assert noted == [2]
    assert gaps[0] == 0


def test_less_is_not_passed_over(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    line = LINE % b"etc"
    count = (reading.MAX_UNREAD - (1 << 20)) // len(line)
    write(log, line * count)
    take_in(trace, "frozen")
    assert (trace.count, trace.failed, trace.passed_over) == (count, count, 0)


def test_calls_that_were_held_in_the_gap_are_known(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, MUCH[: len(FLOOD) * 10] + b'2 mkdir("/held",0755)')
    held = trace.current(log)
    assert held is not None
    write(log, b" = 0\n" + MUCH)
    # Read up to its end, but for what came behind it.
    assert held.seq == 0
    take_in(trace, "running")
    assert held in trace.kept()
    assert (held.path, held.note) == ("/held", "its result was passed over")
    calls = trace.kept()
    assert [call.seq for call in calls] == list(range(1, len(calls) + 1))


def test_reading_goes_on_where_the_thread_was_held(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, MUCH)
    # The place from which on text is kept lies in a string that holds lines.
    lines = b"2 getppid() = 1\n2 setuid(0) = 0\n" * 40_000
    hold(log, b'2 mkdir("/\n' + lines + b'",0755)')
    write(log, b" = -1 errno=36 (File name too long)\n2 getuid() = 0\n")
    take_in(trace, "running")
    assert trace.passed_over > 0
    names = {call.name for call in trace.kept()}
    assert names <= {"access", "mkdir", "getuid"}
    assert trace.kept()[-1].name == "getuid"


def test_a_call_that_is_always_held_is_not_made_up_behind_a_gap(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, MUCH)
    # The thread is not held yet: its string is still being written.
    write(log, b'2 mkdir("/\n' + b"2 setuid(0) = 0\n" * 80_000)
    take_in(trace, "running")
    assert trace.passed_over > 0
    assert "setuid" not in {call.name for call in trace.kept()}


def test_where_nothing_begins_reading_goes_on_at_the_end(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, b'2 access("' + b"x" * (reading.MAX_UNREAD + 10))
    take_in(trace, "running")
    write(log, b'",F_OK) = -1 errno=36 (File name too long)\n2 getpid() = 2\n')
    take_in(trace, "frozen")
    assert trace.kept()[-1].name == "getpid"


def test_the_text_that_is_kept_is_bounded(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    for _ in range(4):
        write(log, FLOOD * (MAX_TEXT // len(FLOOD) // 2))
        trace.drain(log)
    assert trace.passed_over == 0
    kept = trace.kept()
    assert len(kept) + trace.left_out == trace.count
    assert MAX_TEXT // 2 < len(kept) * len(FLOOD) < MAX_TEXT + (1 << 20)
    assert (kept[0].seq, kept[-1].seq) == (1, trace.count)


def test_the_full_trace_goes_on_behind_a_gap(trace: Trace, tmp_path: Path) -> None:
    trace.full = FullTrace(1 << 30)
    log = trace.add(10, 10, 1028)
    write(log, b"2 getpid() = 2\n2 access(")
    take_in(trace, "frozen")
    write(log, b'"/",F_OK) = 0\n' + MUCH + b"2 getppid() = 1\n")
    take_in(trace, "running")
    trace.full.copy_to(tmp_path / FILE)
    calls = list(read_full_trace(tmp_path / FILE))
    assert [calls[0].name, calls[-1].name] == ["getpid", "getppid"]
    assert {call.path for call in calls[1:-1]} == {"/" + "x" * 4095}
    assert [call.seq for call in calls] == [call.seq for call in trace.kept()]


@pytest.mark.parametrize("name", [b"access", b"mkdir", b"rename"])
@pytest.mark.parametrize("piece", [b")\n", b'")\n', b'") = 0\n', b"\n", b")", b"2 getpid() = 2\n"])
def test_a_long_string_of_ends_is_read_to_its_end(trace: Trace, name: bytes, piece: bytes) -> None:
    # What looks at the whole string again at each of its pieces would take minutes.
    log = trace.add(10, 10, 1028)
    hold(log, b'2 %s("' % name + piece * ((1 << 20) // len(piece)))
    take_in(trace, "running")
    hold(log, b'",0755)')
    write(log, b" = -1 errno=36 (File name too long)\n2 getppid() = 1\n")
    take_in(trace, "frozen")
    assert trace.kept()[-1].name == "getppid"


def test_a_reader_that_jumped_believes_a_held_call() -> None:
    text = b"2 setuid(0)"
    reader = StraceReader(held=HELD, waits={1000 + len(text): None})
    reader.jump(1000, certain=False)
    reader.feed(text + b" = 0\n2 getpid() = 2\n")
    assert [call.name for call in reader.finished] == ["setuid", "getpid"]
