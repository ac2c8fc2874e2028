"""Each trigger, and its settings, on real programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.guest.helpers import QUICK, shell, spec
from tests.programs import root_with
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.freezing.triggers import (
    CallTrigger,
    TriggerLimits,
    failure_text,
    parse_call_trigger,
    resolve_calls,
)
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Syscall

Rootfs = Callable[[str], Path]


def limits(*calls: str, **more: object) -> TriggerLimits:
    changes = {"calls": tuple(map(parse_call_trigger, calls))} | more
    return msgspec.structs.replace(QUICK, **changes)


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("reboot", CallTrigger("reboot")),
        ("connect:ECONNREFUSED", CallTrigger("connect", "ECONNREFUSED")),
        ("openat:ENOENT:/etc/*", CallTrigger("openat", "ENOENT", "/etc/*")),
        ("connect:*:inet:127.0.0.1:80", CallTrigger("connect", "*", "inet:127.0.0.1:80")),
        ("openat:-:/dev/mtd0", CallTrigger("openat", "", "/dev/mtd0")),
        ("*:ENOSYS", CallTrigger("*", "ENOSYS")),
    ],
)
def test_calls_are_read_as_they_are_written(text: str, trigger: CallTrigger) -> None:
    assert parse_call_trigger(text) == trigger
    assert parse_call_trigger(str(trigger)) == trigger


@pytest.mark.parametrize("text", ["", ":ENOENT", "open:enoent", "open close", "open:ENOENT ", "*", "op*"])
def test_what_names_no_call_is_refused(text: str) -> None:
    with pytest.raises(TriageError, match="call"):
        parse_call_trigger(text)


def test_a_trigger_is_told_apart_by_name_error_and_object() -> None:
    call = Syscall(seq=1, name="openat", path="/etc/passwd")
    assert parse_call_trigger("open:ENOENT:/etc/*").fails(call, "ENOENT")
    assert not parse_call_trigger("open:ENOENT:/dev/*").fails(call, "ENOENT")
    assert not parse_call_trigger("open:EACCES").fails(call, "ENOENT")
    assert not parse_call_trigger("stat:ENOENT").fails(call, "ENOENT")
    assert not parse_call_trigger("open").fails(call, "ENOENT")


def test_calls_and_errors_that_an_architecture_lacks_are_refused() -> None:
    arm = by_name("arm")
    assert resolve_calls([CallTrigger("read", "EWOULDBLOCK")], arm)[0].errno == "EAGAIN"
    with pytest.raises(TriageError, match="no syscall 'frobnicate'"):
        resolve_calls([CallTrigger("frobnicate")], arm)
    with pytest.raises(TriageError, match="no error 'ENOTHING'"):
        resolve_calls([CallTrigger("read", "ENOTHING")], arm)


def test_the_error_in_the_log_has_the_guest_s_number() -> None:
    assert failure_text(by_name("mipsel"), "ECONNREFUSED") == b"-1 errno=146 (Connection refused)"
    assert failure_text(by_name("arm"), "ECONNREFUSED") == b"-1 errno=111 (Connection refused)"


@pytest.mark.parametrize(
    "change",
    [
        {"max_period": 0},
        {"max_period": 65},
        {"loop_repeats": 1},
        {"loop_calls": -1},
        {"sleep_repeats": 0},
        {"loop_span_s": 0.0},
        {"sleep_span_s": float("nan")},
        {"grace_s": -1.0},
        {"grace_s": float("inf")},
    ],
)
def test_limits_must_be_limits(change: dict[str, float]) -> None:
    with pytest.raises(TriageError):
        msgspec.structs.replace(TriggerLimits(), **change).check()


# ------------------------------------------------------------ chosen calls


@pytest.mark.parametrize(
    "arch", ["arm", "thumb", "aarch64", "mipsel", "mips", "i386", "x86_64", "riscv64", "ppc"]
)
def test_frozen_at_the_return_of_a_chosen_failure(qemu_dir: Path, tmp_path: Path, arch: str) -> None:
    root = root_with(tmp_path, arch, "calls")
    (root / "etc/elsewhere").unlink(missing_ok=True)
    how = limits("open:ENOENT:/etc/missing*")
    with Guest.start(spec(root, qemu_dir, "/bin/calls", triggers=how)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.ended) == ("syscall", False)
        call = guest.history()[-1]
        assert (call.path, call.errno, call.seq) == ("/etc/missing.conf", "ENOENT", stop.trigger.seq)
        assert stop.trigger.syscall_name == call.name
        assert stop.trigger.args == call.args
        # The call has been made and the program does not know its result yet.
        assert guest.output() == b""
        assert guest.registers()[guest.arch.pc] == call.pc
        end = guest.run_until_stop()
        assert (end.reason, end.exit_code) == ("exit", 7)
        assert guest.output().startswith(b"open -1 2\nmkdir 0 0\n")
        assert [c.errno for c in guest.history() if c.path == "/etc/missing.conf"] == ["ENOENT"]
        assert guest.problems == []


def test_a_failure_that_the_emulator_answers_itself_is_exact_too(rootfs: Rootfs, qemu_dir: Path) -> None:
    how = limits("ioctl:ENOTTY")
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, "/bin/busybox", "stty", triggers=how)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("syscall", "ioctl")
        assert guest.output() == b""
        assert guest.run_until_stop().reason == "exit"
        assert b"stty" in guest.output()


def test_frozen_in_front_of_a_chosen_call(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "calls")
    with Guest.start(spec(root, qemu_dir, "/bin/calls", triggers=limits("mkdir"))) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("syscall", "mkdir")
        assert not os.path.lexists(f"{guest.root_path}/tmp/made")
        end = guest.run_until_stop()
        assert (end.reason, end.exit_code) == ("exit", 7)
        assert b"mkdir 0 0\nstat 0 40750\n" in guest.output()


def test_connection_refused(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = ("/bin/busybox", "nc", "127.0.0.1", "81")
    how = limits("connect:ECONNREFUSED:inet:*:81")
    with Guest.start(spec(rootfs("busybox-mipsel"), qemu_dir, *argv, triggers=how)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("syscall", "connect")
        call = guest.history()[-1]
        assert (call.peer, call.errno, call.ret) == ("inet:127.0.0.1:81", "ECONNREFUSED", -146)
        assert guest.output() == b""


@pytest.mark.parametrize(
    ("chosen", "name", "how", "arch"),
    [
        (*call, arch)
        for call, others in (
            (("brk", "brk", "soon after it"), ["mipsel"]),
            (("clock_gettime", "clock_gettime", "soon after it"), ["x86_64"]),
            (("set_tid_address", "set_tid_address", "soon after it"), ["mipsel"]),
            (("ioctl:-:0xbeef", "ioctl", "soon after it"), ["x86_64"]),
            (("munmap", "munmap", ""), ["mipsel", "x86_64"]),
        )
        for arch in ("arm", *others)
    ],
)
def test_calls_that_the_emulator_serves_are_stopped_at_too(
    qemu_dir: Path, tmp_path: Path, chosen: str, name: str, how: str, arch: str
) -> None:
    root = root_with(tmp_path, arch, "inside")
    with Guest.start(spec(root, qemu_dir, "/bin/inside", triggers=limits(chosen))) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("syscall", name)
        assert how in stop.trigger.detail
        assert guest.problems == []


def test_the_end_of_a_thread_is_not_that_of_the_program(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "inside")
    for chosen, reason in (("exit_group", "exit"), ("exit", "syscall")):
        with Guest.start(spec(root, qemu_dir, "/bin/inside", triggers=limits(chosen))) as guest:
            assert guest.run_until_stop().reason == reason


def test_what_nothing_would_show_is_refused(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "inside")
    watched = spec(root, qemu_dir, "/bin/inside", triggers=limits("brk"), observe="watched")
    with pytest.raises(TriageError, match=r"serves brk by itself.*--observe watched"):
        Guest.start(watched)


def test_calls_of_another_meaning_are_not_meant() -> None:
    for chosen, call in (("munmap", "mmap2"), ("exit_group", "exit"), ("setrlimit", "ugetrlimit")):
        assert not CallTrigger(chosen).names(call)
        assert not CallTrigger(call).names(chosen)
    assert CallTrigger("setrlimit").names("prlimit64")
    assert CallTrigger("mmap").names("mmap2")


def test_another_object_or_error_is_not_stopped_at(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "calls")
    how = limits("open:ENOENT:/dev/*", "open:EACCES", "mkdir:EEXIST")
    with Guest.start(spec(root, qemu_dir, "/bin/calls", triggers=how)) as guest:
        assert guest.run_until_stop().reason == "exit"


def test_the_moment_of_a_freeze_is_not_when_the_rest_of_the_log_was_read(
    rootfs: Rootfs, qemu_dir: Path
) -> None:
    how = limits(off=frozenset(("loop",)), time_limit_s=1)
    argv = shell("while :; do cd /; done")
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv, triggers=how)) as guest:
        calls_after: list[bool] = []
        while not any(calls_after) and len(calls_after) < 8:
            stop = guest.run_until_stop()
            assert stop.reason == "time_limit"
            # It makes its last calls while it is being stopped, unless it has no processor just then.
            calls_after.append(0 < stop.trigger.ts_mono_ns <= guest.history()[-1].ts_mono_ns)
        assert any(calls_after)


# ------------------------------------------------------------ switched off


def test_an_exit_that_is_no_trigger_is_not_held(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "calls")
    how = limits(off=frozenset(("exit",)))
    with Guest.start(spec(root, qemu_dir, "/bin/calls", triggers=how)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code, stop.ended) == ("exit", 7, True)


def test_a_signal_that_is_no_trigger_is_not_held(rootfs: Rootfs, qemu_dir: Path) -> None:
    how = limits(off=frozenset(("signal",)))
    argv = shell("kill -SEGV $$")
    with Guest.start(spec(rootfs("busybox-armel"), qemu_dir, *argv, triggers=how)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.signal, stop.ended) == ("signal", "SIGSEGV", True)


@pytest.mark.parametrize(
    ("script", "off"),
    [
        ("while :; do cd /; done", "loop"),
        ("while :; do busybox sleep 0.01; done", "sleep_loop"),
        ("while :; do :; done", "idle"),
    ],
)
def test_loops_and_idleness_that_are_no_trigger(
    rootfs: Rootfs, qemu_dir: Path, script: str, off: str
) -> None:
    how = limits(off=frozenset((off, "loop")), grace_s=0.2, time_limit_s=1.5)
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *shell(script), triggers=how)) as guest:
        assert guest.run_until_stop().reason == "time_limit"


# ------------------------------------------------------------ loops


def test_a_round_is_no_longer_than_what_is_looked_for(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = shell("while :; do cd /; cd /bin; cd /usr; cd /usr/share; cd /usr/share/doc; done")
    found = []
    for period, seconds in ((2, 1.5), (16, 60)):
        how = limits(max_period=period, loop_repeats=8, loop_calls=64, grace_s=0.2, time_limit_s=seconds)
        with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv, triggers=how)) as guest:
            stop = guest.run_until_stop()
            found.append(stop.reason)
    assert found == ["time_limit", "loop"]
    assert stop.loop is not None
    assert stop.loop.period in (5, 10)


def test_what_repeats_more_slowly_than_the_span_is_no_loop(qemu_dir: Path, tmp_path: Path) -> None:
    # It sleeps for 10 ms in each round.
    root = root_with(tmp_path, "arm", "polls")
    found = []
    for span, seconds in ((0.25, 4), (30, 60)):
        how = limits(sleep_repeats=100, sleep_span_s=span, grace_s=0.2, time_limit_s=seconds, idle_s=10)
        with Guest.start(spec(root, qemu_dir, "/bin/polls", "deaf", triggers=how)) as guest:
            found.append(guest.run_until_stop().reason)
    assert found == ["time_limit", "sleep_loop"]


def test_a_loop_that_ends_within_the_grace_is_none(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = shell("i=0; while [ $i -lt 1000 ]; do cd /; i=$((i+1)); done; exit 9")
    how = limits(loop_repeats=64, loop_calls=64, grace_s=90, idle_s=60, time_limit_s=120)
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv, triggers=how)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 9)


def test_calls_have_their_place_in_the_program(rootfs: Rootfs, qemu_dir: Path) -> None:
    how = limits(loop_repeats=8, loop_calls=16)
    argv = shell("while :; do cd /; done")
    with Guest.start(spec(rootfs("busybox-armel"), qemu_dir, *argv, triggers=how)) as guest:
        assert guest.run_until_stop().reason == "loop"
        moves = [call for call in guest.history() if call.name == "chdir"]
        assert len({(call.pc, call.return_address) for call in moves[-8:]}) == 1
        assert moves[-1].pc
        assert moves[-1].return_address


def test_rounds_of_different_calls_with_a_sleep_are_a_loop(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = shell("while :; do busybox sleep 0.05; cd /; cd /bin; cd /usr; cd /usr/share; done")
    how = limits(max_period=2, idle_s=0.3, sleep_patience=4, grace_s=0.3)
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv, triggers=how)) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "sleep_loop", stop
        assert stop.loop is not None
        assert stop.loop.varies
        assert {"chdir"} < set(stop.loop.names)
        assert "no new kind of call" in stop.trigger.detail


@pytest.mark.parametrize(
    ("steps", "rounds", "reason"), [("3000000", "150", "exit"), ("0", "100000000", "loop")]
)
def test_who_computes_between_its_calls_does_not_merely_repeat_them(
    qemu_dir: Path, tmp_path: Path, steps: str, rounds: str, reason: str
) -> None:
    root = root_with(tmp_path, "aarch64", "computes")
    how = limits(loop_repeats=32, loop_calls=32, grace_s=0.3, idle_s=10, time_limit_s=30)
    argv = ("/bin/computes", steps, rounds)
    with Guest.start(spec(root, qemu_dir, *argv, triggers=how)) as guest:
        assert guest.run_until_stop().reason == reason
