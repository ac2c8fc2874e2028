"""The log of one thread: what was written is read, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from triage_tui.guest.arch import by_name
from triage_tui.guest.log.trace import Trace


@pytest.fixture
def trace() -> Iterator[Trace]:
    made = Trace(by_name("arm"), history=4096, cap=50_000)
    yield made
    made.close()


@pytest.mark.parametrize("size", [1 << 25, (1 << 40) + 5, (1 << 62) + 4095])
@pytest.mark.parametrize("count", [1, 10_000])
def test_bytes_that_nobody_wrote_are_left_out(trace: Trace, size: int, count: int) -> None:
    log = trace.add(10, 10, 1028)
    os.write(log.writer, b"2 getpid() = 2\n" * count + b"2 getppid(")
    trace.look()
    os.truncate(f"/proc/self/fd/{log.writer}", size)
    os.write(log.writer, b") = 1\n" + b"2 getuid() = 0\n" * count)
    trace.drain(log)
    assert trace.was_lengthened
    names = [call.name for call in trace.kept()]
    assert names == ["getpid"] * count + ["getppid"] + ["getuid"] * count
    assert {call.note for call in trace.kept()} == {None}


def test_where_a_thread_was_held_is_known_behind_such_bytes(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    os.truncate(f"/proc/self/fd/{log.writer}", 1 << 32)
    os.write(log.writer, b'2 mkdir("/a",0755)')
    held = trace.current(log)
    assert held is not None
    assert held.path == "/a"
    held.note = "seen"
    os.write(log.writer, b" = 0\n")
    trace.drain(log)
    assert [(call.name, call.note, call.ret) for call in trace.kept()] == [("mkdir", "seen", 0)]


def test_much_text_is_no_gap(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    os.write(log.writer, b"2 getpid() = 2\n" * (1 << 21))
    trace.drain(log)
    assert not trace.was_lengthened
    assert trace.count == 1 << 21
