"""Memory of calls before the freeze: read only where it is that call's and nobody wrote over it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.guest.handmade import STACK, HandmadeGuest
from triage_tui.guest.record.call_objects import CallObjects
from triage_tui.guest.record.earlier_calls import (
    calls_of_memory,
    last_failed,
    last_received,
    overwritten,
)
from triage_tui.guest.record.objects import ObjectCollector
from triage_tui.guest.state.memory import Memory
from triage_tui.runs.model import Snapshot, Syscall, Target, Trigger
from triage_tui.runs.writer import RunWriter


def opened(seq: int, pid: int, path: str = "/etc/x") -> Syscall:
    return Syscall(seq=seq, name="openat", args=[0, STACK, 0, 0], pid=pid, ret=-2, errno="ENOENT", path=path)


def snapshot(*calls: Syscall, pid: int = 2) -> Snapshot:
    return Snapshot(
        run_id="r",
        reason="exit",
        created_at="",
        trigger=Trigger(seq=99, syscall_name="exit_group", pid=pid),
        target=Target(program="/x", argv=["x"], arch="arm"),
        recent_syscalls=list(calls),
    )


def test_the_memory_of_another_process_is_not_that_of_the_frozen_one() -> None:
    record = snapshot(opened(1, 2), opened(2, 3))
    failed = last_failed(calls_of_memory(record), 99)
    assert failed is not None
    assert failed.seq == 1
    assert last_failed(calls_of_memory(snapshot(opened(1, 3))), 99) is None


def test_a_program_that_was_executed_has_another_memory() -> None:
    execution = Syscall(seq=2, name="execve", pid=2, ret=0)
    assert last_failed(calls_of_memory(snapshot(opened(1, 2), execution)), 99) is None
    failed = Syscall(seq=2, name="execve", args=[STACK], pid=2, ret=-2, errno="ENOENT")
    assert last_failed(calls_of_memory(snapshot(opened(1, 2), failed)), 99) is failed


def test_what_was_received_is_looked_for_in_the_frozen_process_alone() -> None:
    mine = Syscall(seq=1, name="read", args=[5, STACK, 9], pid=2, ret=4)
    other = Syscall(seq=2, name="recv", args=[6, STACK, 9], pid=3, ret=4)
    assert last_received(calls_of_memory(snapshot(mine, other)), 99, {5}) == mine
    assert last_received(calls_of_memory(snapshot(mine, other)), 99, {7}) is None


@pytest.mark.parametrize("arch", ["arm", "mips"])
@pytest.mark.parametrize(
    ("call", "data"),
    [
        (opened(1, 2), b"/etc/x\0"),
        (Syscall(seq=1, name="bind", args=[3, STACK, 16], peer="inet:10.9.9.9:8080"), b""),
        (Syscall(seq=1, name="connect", args=[3, STACK, 20], peer="unix:/run/x"), b"/run/x\0"),
        (Syscall(seq=1, name="ioctl", args=[3, 0x8933, STACK], interface="lan0"), b"lan0\0"),
    ],
)
def test_what_was_written_over_is_found_by_the_text_of_the_call(
    tmp_path: Path, arch: str, call: Syscall, data: bytes
) -> None:
    guest = HandmadeGuest(arch)
    sign = "<" if arch == "arm" else ">"
    if call.name == "bind":
        data = struct.pack(f"{sign}H", 2) + struct.pack(">H4B", 8080, 10, 9, 9, 9)
    elif call.name == "connect":
        data = struct.pack(f"{sign}H", 1) + data
    guest.put(STACK, data)
    memory = Memory(guest, guest.arch)
    assert overwritten(guest.arch, memory, call) == {}
    guest.put(STACK, b"s\0P\x05 and more")
    memory = Memory(guest, guest.arch)
    gone = overwritten(guest.arch, memory, call)
    assert list(gone.values()) == [call.path or call.peer or call.interface]
    collector = ObjectCollector(memory, RunWriter(tmp_path))
    CallObjects(memory, collector).add(guest.arch, call, "last_err", without=gone)
    assert collector.objects == []


def test_arguments_of_which_the_record_has_no_text_are_kept(tmp_path: Path) -> None:
    guest = HandmadeGuest("arm")
    guest.put(STACK, b"anything")
    memory = Memory(guest, guest.arch)
    call = Syscall(seq=1, name="write", args=[3, STACK, 8], ret=-28, errno="ENOSPC")
    assert overwritten(guest.arch, memory, call) == {}
    collector = ObjectCollector(memory, RunWriter(tmp_path))
    CallObjects(memory, collector).add(guest.arch, call, "last_err")
    assert collector.objects[0].how == "argument 1, read at the freeze, 8 bytes"
