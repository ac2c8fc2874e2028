"""All calls of a guest on disk, and read back."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import shell, spec
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.log.full_trace import FILE, FullTrace, read_full_trace
from triage_tui.guest.spec import ResourceLimits, TriggerLimits
from triage_tui.guest.supervisor import Guest

Rootfs = Callable[[str], Path]
ENDLESS = TriggerLimits(time_limit_s=120, loop_repeats=10**9, loop_calls=10**9)


def test_every_call_of_a_real_guest_comes_back(rootfs: Rootfs, qemu_dir: Path, tmp_path: Path) -> None:
    script = (
        "i=0; while [ $i -lt 20000 ]; do umask 22; i=$((i+1)); done; (cd /nowhere1); cd /nowhere2; exit 3"
    )
    limits = ResourceLimits(trace=100)
    start = spec(
        rootfs("busybox-armhf"), qemu_dir, *shell(script), full_trace=True, limits=limits, triggers=ENDLESS
    )
    with Guest.start(start) as guest:
        assert guest.run_until_stop().exit_code == 3
        assert guest.copy_full_trace(tmp_path) is None
        newest = {call.seq: (call.name, call.path, call.errno, call.tid) for call in guest.history()}
        count = guest.statistics().syscalls
    calls = list(read_full_trace(tmp_path / FILE))
    assert [call.seq for call in calls] == list(range(1, count + 1))
    assert sum(call.name == "umask" for call in calls) == 60_000
    for call in calls[-10:]:
        assert call.tid == call.pid
        if call.path is None:
            assert newest[call.seq][0] == call.name
        else:
            assert newest[call.seq] == (call.name, call.path, call.errno, call.tid)


def test_calls_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    full = FullTrace(limit=1 << 20)
    for log, tid, count, text in (
        (1, 2, 0, b"2 wait4(-1,0x1,0,NULL)"),
        (2, 3, 1, b"3 getpid() = 3\n3 pause()"),
        (1, 2, 3, b" = 3\n2 getppid() = 1\n"),
    ):
        header = {"log": log, "tid": tid, "arch": by_name("arm").name, "count": count}
        full.add(header | {"ts_mono_ns": 5, "whole": True}, text)
    full.copy_to(tmp_path / FILE)
    full.close()
    calls = [(call.seq, call.name, call.ret) for call in read_full_trace(tmp_path / FILE)]
    assert calls == [(1, "wait4", 3), (2, "getpid", 3), (3, "pause", None), (4, "getppid", 1)]


def test_the_limit_holds_and_is_known(tmp_path: Path) -> None:
    full = FullTrace(limit=1)
    header = {"log": 1, "tid": 2, "arch": by_name("arm").name, "count": 0, "ts_mono_ns": 5, "whole": False}
    full.add(header, b"2 getpid() = 2\n" * 100_000)
    assert full.left_out == 1
    full.add(header, b"2 getppid() = 1\n")
    full.copy_to(tmp_path / FILE)
    full.close()
    calls = list(read_full_trace(tmp_path / FILE))
    assert len(calls) == 100_000
    assert {call.name for call in calls} == {"getpid"}


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"other"), gzip.compress(b"triage-tui full trace 1\n" + b"\xff" * 99)],
    ids=["empty", "no gzip", "another text", "a damaged trace"],
)
def test_anything_else_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(TriageError, match=FILE):
        list(read_full_trace(tmp_path / FILE))


def test_calls_have_their_arguments_in_words(tmp_path: Path) -> None:
    full = FullTrace(limit=1 << 20)
    header = {"log": 1, "tid": 2, "arch": by_name("arm").name, "count": 0, "ts_mono_ns": 5, "whole": True}
    full.add(header, b"2 shutdown(4,2,0,0,0,0) = 0\n2 epoll_ctl(4,2,5,4096,0,0)")
    full.copy_to(tmp_path / FILE)
    full.close()
    assert [call.arguments for call in read_full_trace(tmp_path / FILE)] == [
        ["4", "SHUT_RDWR"],
        ["4", "EPOLL_CTL_DEL", "5", "0x1000"],
    ]
