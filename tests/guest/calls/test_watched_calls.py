"""Guests of which only the watched calls are observed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import QUICK, shell, spec
from tests.programs import root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource

Rootfs = Callable[[str], Path]
PROGRAMS = ["busybox-armhf", "busybox-mipsel", "busybox-arm64"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_exit_is_held_and_refusals_have_their_result(rootfs: Rootfs, qemu_dir: Path, program: str) -> None:
    start = spec(rootfs(program), qemu_dir, *shell("(cd /nowhere); hostname x; exit 7"), observe="watched")
    with Guest.start(start) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code, stop.trigger.syscall_name) == ("exit", 7, "exit_group")
        calls = {call.name: call for call in guest.history()}
        assert calls["chdir"].path == "/nowhere"
        assert calls["chdir"].ret is None
        assert (calls["sethostname"].ret, calls["sethostname"].errno) == (-1, "EPERM")
        assert "read" not in calls
        assert dict(guest.not_observed())
        assert guest.problems == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_fork_is_one_call_of_the_parent(rootfs: Rootfs, qemu_dir: Path, program: str) -> None:
    script = "cat /nope; (exit 3); (exit 3); exit 4"
    with Guest.start(spec(rootfs(program), qemu_dir, *shell(script), observe="watched")) as guest:
        assert guest.run_until_stop().exit_code == 4
        calls = guest.history()
        forks = [call.pid for call in calls if call.name in ("clone", "fork", "vfork")]
        main = calls[-1].pid
        assert forks == [main] * 3
        assert len({call.pid for call in calls}) == 4


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_fatal_signal_is_held(rootfs: Rootfs, qemu_dir: Path, program: str) -> None:
    start = spec(rootfs(program), qemu_dir, *shell("kill -SEGV $$"), observe="watched")
    with Guest.start(start) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.signal, stop.ended) == ("signal", "SIGSEGV", False)


def test_blocked_and_spinning_guests_are_told_apart(rootfs: Rootfs, qemu_dir: Path) -> None:
    root = rootfs("busybox-armel")
    with Guest.start(
        spec(root, qemu_dir, "/bin/busybox", "nc", "-l", "-p", "99", observe="watched")
    ) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("idle", "accept")
    with Guest.start(spec(root, qemu_dir, *shell("while :; do :; done"), observe="watched")) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "idle"
        assert "spinning" in stop.trigger.detail


def test_who_makes_calls_that_are_not_watched_is_not_idle(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = ("/bin/busybox", "dd", "if=/bin/busybox", "of=/copy", "bs=1", "count=400000")
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv, observe="watched")) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        assert guest.trace.count < 100


def test_a_loop_of_watched_calls_is_found(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = ("/bin/busybox", "tail", "-s", "0", "-F", "/var/log/messages")
    with Guest.start(spec(rootfs("tail-armel"), qemu_dir, *argv, observe="watched")) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "sleep_loop"
        assert stop.loop is not None
        assert set(stop.loop.names) == {"openat", "clock_nanosleep"}


def test_rules_decide_as_ever(rootfs: Rootfs, qemu_dir: Path) -> None:
    source = b"function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8) return 1, 0 end"
    access = RuleAccess(by_name("arm"))
    host = RuleHost([RuleSource("rule", "chdir", source)], access)
    start = spec(
        rootfs("busybox-armhf"), qemu_dir, *shell("cd /nowhere && exit 5"), observe="watched", triggers=QUICK
    )
    try:
        with Guest.start(start, host, access=access) as guest:
            assert guest.run_until_stop().exit_code == 5
            (call,) = (call for call in guest.history() if call.name == "chdir")
            assert (call.ret, call.intercepted, call.rule) == (0, True, "rule")
    finally:
        host.close()


@pytest.mark.parametrize("arch", ["riscv64", "armeb"])
def test_a_guest_for_which_the_emulator_logs_nothing(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    source = b"function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8) return 1, -17 end"
    access = RuleAccess(by_name(arch))
    host = RuleHost([RuleSource("rule", "mkdirat", source), RuleSource("old", "mkdir", source)], access)
    root = root_with(tmp_path, arch, "calls")
    try:
        with Guest.start(spec(root, qemu_dir, "/bin/calls", observe="watched"), host, access=access) as guest:
            stop = guest.run_until_stop()
            assert (stop.reason, stop.exit_code, stop.trigger.syscall_name) == ("exit", 7, "exit_group")
            calls = {call.name.removesuffix("at"): call for call in guest.history()}
            assert calls["open"].path == "/etc/missing.conf"
            assert (calls["mkdir"].errno, calls["mkdir"].intercepted) == ("EEXIST", True)
            assert b"mkdir -1 17" in guest.output()
            assert guest.problems == []
    finally:
        host.close()


def test_children_for_which_the_emulator_logs_nothing(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "riscv64", "children")
    with Guest.start(spec(root, qemu_dir, "/bin/children", observe="watched")) as guest:
        stop = guest.run_until_stop()
        ends = [call for call in guest.history() if call.name == "exit_group"]
        assert stop.reason == "exit"
        assert len({call.pid for call in ends}) == guest.statistics().processes > 1
        assert guest.problems == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_call_that_nobody_decides_about_has_a_whole_record(
    rootfs: Rootfs, qemu_dir: Path, program: str
) -> None:
    script = "cd /bin; mkdir /made; chmod 751 /made; exit 0"
    with Guest.start(spec(rootfs(program), qemu_dir, *shell(script), observe="watched")) as guest:
        assert guest.run_until_stop().exit_code == 0
        paths = {call.host: call for call in guest.history() if call.path is not None}
        made = next(call for name, call in paths.items() if name in ("mkdir", "mkdirat"))
        changed = next(call for name, call in paths.items() if name in ("chmod", "fchmodat"))
        assert (paths["chdir"].path, made.path, changed.path) == ("/bin", "/made", "/made")
        assert 0o751 in changed.args
        assert all(call.pc for call in (paths["chdir"], made, changed))
        assert [call.seq for call in guest.history()] == list(range(1, guest.trace.count + 1))
