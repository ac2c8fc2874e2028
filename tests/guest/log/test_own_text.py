"""Paths that hold what looks like lines of the log: they are no calls."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from triage_tui.diagnosis.calls import failed, succeeded
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.always_held import held_calls
from triage_tui.guest.cell.policy import ContainmentPolicy
from triage_tui.guest.log.logged_items import LoggedCall
from triage_tui.guest.log.strace import StraceReader
from triage_tui.guest.log.thread_log import ThreadLog
from triage_tui.guest.log.trace import Trace
from triage_tui.runs.model import DOUBT, Syscall

MOUNT = b'2 mount("/dev/sda","/mnt","ext4",0,NULL) = -1 errno=1 (Operation not permitted)\n'
END = b'",F_OK) = -1 errno=2 (No such file or directory)\n'
HELD = held_calls(ContainmentPolicy())


@pytest.fixture
def trace() -> Iterator[Trace]:
    made = Trace(by_name("arm"), history=4096, cap=50_000, held=HELD)
    yield made
    made.close()


def held(trace: Trace, log: ThreadLog, text: bytes, result: bytes) -> None:
    """Write a call in which its thread is held, and then its result."""
    os.write(log.fd, text)
    trace.current(log)
    os.write(log.fd, result)


@pytest.mark.parametrize("step", [1, 7, 4096])
@pytest.mark.parametrize(
    "begin", [b'2 access("/tmp") = 0\n', b'2 access("/tmp\n', b'2 access("/tmp",0,") = 0\n']
)
def test_a_string_ends_where_the_call_has_its_other_arguments(begin: bytes, step: int) -> None:
    data = begin + MOUNT + b'2 access("/tmp' + END + b"2 getpid() = 2\n"
    reader = StraceReader()
    items = [item for at in range(0, len(data), step) for item in reader.feed(data[at : at + step])]
    assert [item.name for item in items] == ["access", "getpid"]
    first = reader.finished[0]
    assert first.result is not None
    assert first.result.startswith(b"-1 errno=2 ")
    assert MOUNT in first.arguments
    assert first.note == DOUBT


def test_a_call_that_is_always_held_is_none_when_its_thread_was_not(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    os.write(log.fd, b'2 access("/tmp",F_OK) = 0\n' + MOUNT + b'2 access("/x' + END)
    held(trace, log, b'2 mkdir("/a",0755)', b" = 0\n2 getpid() = 2\n")
    trace.drain(log)
    kept = trace.kept()
    assert [call.name for call in kept] == ["access", "access", "mkdir", "getpid"]
    assert [call.note for call in kept] == [DOUBT, DOUBT, None, None]
    assert "mount(" in kept[0].arguments[1]
    assert not any(failed(call) or succeeded(call) for call in kept[:2])


def test_calls_that_were_held_are_calls(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    os.write(log.fd, b'2 access("/tmp",F_OK) = 0\n')
    line, _, result = MOUNT.partition(b" = ")
    held(trace, log, line, b" = " + result)
    trace.drain(log)
    kept: list[Syscall] = trace.kept()
    assert [(call.name, call.errno, call.note) for call in kept] == [
        ("access", None, None),
        ("mount", "EPERM", None),
    ]
    assert trace.failed == 1


@pytest.mark.parametrize(
    "line",
    [
        b'2 open("/proc/self/maps",O_RDONLY) = 3\n',
        b'2 openat(AT_FDCWD,"/etc",O_RDONLY|O_DIRECTORY) = 3\n',
        b'2 mount("none",0x00000010,"proc",0,NULL) = -1 errno=14 (Bad address)\n',
    ],
)
def test_what_the_emulator_answers_itself_is_a_call(trace: Trace, line: bytes) -> None:
    log = trace.add(10, 10, 1028)
    os.write(log.fd, b'2 access("/tmp",F_OK) = 0\n' + line)
    trace.drain(log)
    assert [call.note for call in trace.kept()] == [None, None]


def test_text_that_was_only_counted_is_read_with_the_same_care(trace: Trace) -> None:
    log = trace.add(10, 10, 1028)
    os.write(
        log.fd, b"2 getpid() = 2\n" + b'2 access("/tmp",F_OK) = 0\n' + MOUNT + b"2 getpid() = 2\n" * 20_000
    )
    trace.drain(log)
    assert trace.skimmed
    assert "mount" not in {call.name for call in trace.kept()}


@pytest.mark.parametrize("before", [0, 3000])
@pytest.mark.parametrize("size", [10_000, 50_000, 400_000])
def test_text_that_was_only_counted_is_not_cut_in_a_string(trace: Trace, before: int, size: int) -> None:
    log = trace.add(10, 10, 1028)
    os.write(log.fd, b"2 getuid() = 0\n" * before)
    forged = b'"})\n2 sysinfo(0x1000) = 77\n' * 9
    string = (b"a" * 1000 + forged) * (size // 1000)
    held(trace, log, b'2 execve("/x",{"' + string + b'"})', b"")
    os.write(log.fd, b" = -1 errno=7 (Argument list too long)\n" + b"2 getppid() = 1\n" * 3000)
    trace.drain(log)
    kept = trace.kept()
    assert [call.name for call in kept] == ["getuid"] * before + ["execve"] + ["getppid"] * 3000
    assert {call.note for call in kept} == {None}


@pytest.mark.parametrize("step", [1, 3, 50, 1000])
def test_it_does_not_matter_where_a_portion_of_the_text_ends(step: int) -> None:
    string = b'a",0755) = 0\n2 getuid() = 5\n2 mkdir("/b'
    first = b'2 access("/tmp",F_OK) = 0\n' + MOUNT + b"2 getpid() = 2\n"
    second = b'2 mkdir("' + string + b'",0755)'
    data = first + second + b" = 0\n2 getpid() = 2\n"
    reader = StraceReader(True, HELD, {len(first) + len(second): None})
    items = [item for at in range(0, len(data), step) for item in reader.feed(data[at : at + step])]
    found = [item for item in items if isinstance(item, LoggedCall)]
    assert [call.name for call in found] == ["access", "getpid", "mkdir", "getpid"]
    assert [call.note for call in found[::2]] == [DOUBT, None]
    assert found[2].arguments == b'"' + string + b'",0755'


def test_a_lifted_refusal_is_not_held() -> None:
    assert b"mount" in HELD
    assert b"mount" not in held_calls(ContainmentPolicy.allowing(["mount"]))


def test_a_string_without_an_end_is_not_waited_for_for_ever() -> None:
    reader = StraceReader()
    items = reader.feed(b'2 access("/tmp") = 0\n' + b"2 getpid() = 2\n" * 2000)
    assert [item.name for item in items][:2] == ["access", "getpid"]
    assert isinstance(items[0], LoggedCall)
    assert items[0].note == DOUBT
