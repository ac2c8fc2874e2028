"""One history from the logs of many threads, also when they are written faster than they can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from triage_tui.guest.arch import by_name
from triage_tui.guest.emulator.return_stub import MARKER_WHENCE
from triage_tui.guest.log.thread_log import Seen, ThreadLog
from triage_tui.guest.log.trace import Trace
from triage_tui.runs.model import Syscall


@pytest.fixture
def trace() -> Iterator[Trace]:
    made = Trace(by_name("arm"), history=4096, cap=50_000)
    yield made
    made.close()


def write(log: ThreadLog, text: bytes) -> None:
    os.write(log.fd, text)


def numbers(calls: list[Syscall]) -> list[int]:
    return [call.seq for call in calls]


LINE = b'2 openat(AT_FDCWD,"/etc/%d",O_RDONLY) = -1 errno=2 (No such file or directory)\n'


def test_what_is_skimmed_is_counted_and_can_be_read_later(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    gaps: list[tuple[ThreadLog, int]] = []
    trace.on_gap = lambda log, calls: gaps.append((log, calls))
    text = b"".join(LINE % index for index in range(10_000))
    write(log, text + b"2 read(3,0x1000,10)")
    trace.drain(log, complete=True)
    assert trace.count == 10_001
    assert trace.failed == 10_000
    assert trace.skimmed > 5_000
    assert {log.tid for log, _calls in gaps} == {10}
    assert sum(calls for _log, calls in gaps) == trace.skimmed
    kept = trace.kept()
    assert numbers(kept) == list(range(1, 10_002))
    assert [call.path for call in kept[:-1]] == [f"/etc/{index}" for index in range(10_000)]
    assert {call.errno for call in kept[:-1]} == {"ENOENT"}
    assert len(trace.signatures) == 10_000
    assert [call.name for call in trace.pending(log)] == ["read"]
    assert numbers(trace.newest()) == list(range(10_001 - 4095, 10_002))


def test_the_first_and_the_last_calls_are_kept() -> None:
    trace = Trace(by_name("arm"), history=10, cap=100)
    log = trace.add(10, 10, 1028)
    for index in range(1000):
        write(log, LINE % index)
        trace.drain(log)
    assert numbers(trace.kept()) == [*range(1, 51), *range(951, 1001)]
    assert trace.left_out == 900
    trace.close()


def test_the_order_is_that_of_the_marks(trace: Trace) -> None:
    first, second = trace.add(10, 10, 1028), trace.add(10, 11, 1029)
    for index in range(4):
        write((first, second)[index % 2], b"%d getpid() = 2\n" % (index % 2 + 2))
        trace.look()
    assert trace.count == 0
    assert trace.keep_up(1.0)
    calls = trace.newest()
    assert [call.pid for call in calls] == [2, 3, 2, 3]
    times = [call.ts_mono_ns for call in calls]
    assert times == sorted(times)


def test_a_held_call_is_known_without_reading_what_is_before_it(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, LINE % 1 * 100 + b'2 openat(AT_FDCWD,"/held",O_RDONLY)')
    held = trace.current(log)
    assert held is not None
    assert (held.path, held.seq, trace.count) == ("/held", 0, 0)
    held.note = "seen"
    write(log, b" = 3\n")
    trace.drain(log)
    assert trace.newest()[-1] is held
    assert (held.seq, held.ret, held.note) == (101, 3, "seen")


def test_no_call_has_a_later_time_than_the_one_after_it(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, LINE % 1 * 100 + b'2 openat(AT_FDCWD,"/held",O_RDONLY)')
    held = trace.current(log)
    assert held is not None
    exact = held.ts_mono_ns
    write(log, b" = 3\n" + LINE % 2)
    trace.look()
    assert trace.keep_up(1.0)
    for calls in (trace.newest(), trace.kept()):
        times = [call.ts_mono_ns for call in calls]
        assert times == sorted(times)
        assert calls[100].ts_mono_ns == exact


@pytest.mark.parametrize("count", [100, 10_000])
def test_what_was_seen_while_a_call_was_held_joins_its_record(trace: Trace, count: int) -> None:
    seen: list[tuple[Syscall, Seen]] = []
    trace.tell_seen(lambda _arch, call, one: seen.append((call, one)))
    log = trace.add(10, 10, 1028)
    for index in range(count):
        write(log, b'2 openat(AT_FDCWD,"/%d",O_RDONLY)' % index)
        log.mark(whole=True)
        if index % 50 == 0:
            log.seen[log.marked] = Seen("openat", b"", None, b"/%d" % index)
        write(log, b" = 3\n")
    trace.drain(log)
    trace.kept()
    assert len(seen) == count // 50
    assert all(one.path == (call.path or "").encode() for call, one in seen)


def test_effects_of_skimmed_calls_last(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    mapping = b"2 mmap2(NULL,4096,PROT_READ|PROT_EXEC,MAP_PRIVATE,3,0) = 0x40000000\n"
    write(log, b'2 openat(AT_FDCWD,"/a",O_RDONLY) = 3\n' + mapping + LINE % 1 * 10_000)
    trace.drain(log)
    assert trace.skimmed > 0
    assert trace.effects(10).opener(3) == 1
    assert trace.effects(10).permissions().at(0x40000000) == "r-x"


def test_forged_lines_in_a_path_do_not_break_the_count(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, b'2 chdir("x\n2 openat(AT_FDCWD,\\"/y")')
    assert trace.current(log) is not None
    write(log, b" = 0\n" + LINE % 1 * 10_000)
    trace.drain(log)
    assert numbers(trace.kept()) == list(range(1, trace.count + 1))


def test_of_long_text_before_a_decision_only_the_newest_calls_are_read_at_once(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, b"".join(LINE % index for index in range(2000)) + b"2 exit_group(0)\n")
    trace.catch_up(log)
    assert trace.count == 2001
    assert trace.failed == 2000
    assert [call.name for call in trace.pending(log)] == ["exit_group"]
    assert 0 < len(trace.history) < 200
    newest = trace.newest()
    assert numbers(newest) == list(range(1, 2002))
    assert [call.path for call in newest[:-1]] == [f"/etc/{index}" for index in range(2000)]
    assert numbers(trace.kept()) == numbers(newest)


def test_short_text_before_a_decision_is_read_whole(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, b"".join(LINE % index for index in range(100)) + b"2 exit_group(0)\n")
    trace.catch_up(log)
    assert numbers(list(trace.history)) == list(range(1, 102))


def test_the_newest_calls_of_a_long_history_need_no_reading_of_the_rest() -> None:
    trace = Trace(by_name("arm"), history=50, cap=100_000)
    log = trace.add(10, 10, 1028)
    for index in range(40):
        write(log, LINE % index * 1000)
        trace.catch_up(log)
    read = trace.signatures.copy()
    assert numbers(trace.newest()) == list(range(39_951, 40_001))
    assert trace.signatures == read
    write(log, LINE % 99 * 1000)
    trace.drain(log, keep=0)
    assert numbers(trace.newest()) == list(range(40_951, 41_001))
    assert len(trace.signatures) == len(read) + 1
    assert len(numbers(trace.kept())) == 41_000
    trace.close()


def test_reading_stops_when_somebody_waits(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    write(log, LINE % 1 * 1000)
    trace.look()
    assert not trace.keep_up(60.0, lambda: True)
    assert 0 < trace.count < 100
    assert trace.keep_up(60.0, lambda: False)
    assert trace.count == 1000


def test_a_log_has_grown_also_when_a_held_call_has_marked_it(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    assert not trace.look()
    write(log, LINE % 1)
    log.mark(whole=True)
    assert trace.look()
    assert not trace.look()


def _served(trace: Trace, log: ThreadLog, ret: int, real: int) -> Syscall:
    """Go through a call that QEMU answers with `real` and for which a rule says `ret`, as the engine does."""
    failure = b" = -1 errno=%d (No)\n"
    write(log, b"1 ioctl(1,35313,64)Unsupported ioctl: cmd=0x89f1\n")
    call = trace.being_served(log)
    assert call is not None
    log.markers += 1
    log.unsettled.append(call)
    write(log, failure % -real if real < 0 else b" = %d\n" % real)
    write(log, b"1 lseek(93,3,%d)" % MARKER_WHENCE)
    if not trace.pass_marker(log, call):
        trace.drain(log, complete=True)
    trace.settle(log, call, ret, real)
    write(log, failure % -ret if ret < 0 else b" = %d\n" % ret)
    return call


@pytest.mark.parametrize("is_skimmed", [True, False])
def test_what_a_rule_answered_holds_whatever_the_text_says(trace: Trace, is_skimmed: bool) -> None:
    log = trace.add(os.getpid(), os.getpid(), 1001)
    written = []
    answers = [(3, -38), (-5, -38), (-6, 0), (7, 0)] * 5
    for ret, real in answers:
        write(log, b'1 close(3) = 0\n1 open("/etc/motd",O_RDONLY) = 3\n1 getpid() = 1\n')
        written.append(_served(trace, log, ret, real))
    assert log.unread() > 1000
    assert not log.is_altered
    write(log, b"1 getppid() = 0\n")
    if is_skimmed:
        trace.look()
        trace.skim(0)
    trace.drain_all(complete=True)
    records = trace.kept()
    assert [record.name for record in records] == [
        *["close", "open", "getpid", "ioctl"] * len(answers),
        "getppid",
    ]
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert [record.ret for record in records if record.name == "ioctl"] == [ret for ret, _ in answers]
    assert [record for record in records if record.name == "ioctl"] == written
    assert (trace.count, trace.failed) == (len(records), sum(ret < 0 for ret, _ in answers))
    # The call that made the descriptor: no call of the engine's own is counted before it.
    opener = trace.effects(os.getpid()).opener(3)
    assert opener is not None
    assert records[opener - 1].name == "open"
    assert (log.settled, log.passed_markers) == ({}, {})
