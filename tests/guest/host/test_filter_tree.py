from __future__ import annotations

import os

import pytest

from tests.guest import bpf
from triage_tui.guest.cell import policy
from triage_tui.guest.cell.policy import ContainmentPolicy
from triage_tui.guest.emulator.return_stub import MARKER_WHENCE
from triage_tui.guest.host import filter_tree, host_syscalls, seccomp
from triage_tui.guest.host.filter_tree import Instruction
from triage_tui.guest.host.seccomp import NOTIFY, Watch

FIRST_FD = 1025
LENGTHS = (25, 30, 34)
MACHINES = ["x86_64", "aarch64"]
FREQUENT = """
read readv fstat getdents64 futex getpid gettid ppoll recvfrom clock_gettime umask wait4
newfstatat statx readlinkat faccessat2
"""
EPERM, ENOSYS = bpf.ERRNO | 1, bpf.ERRNO | 38


def filter_of(machine: str, watches: list[Watch]) -> bytes:
    return seccomp.program(
        watches, FIRST_FD, machine, log_lengths=LENGTHS, refused=policy.NEVER_NEEDED.split()
    )


def usual(machine: str) -> bytes:
    return filter_of(machine, policy.watches(ContainmentPolicy(), (), FIRST_FD))


def verdict(code: bytes, machine: str, name: str, *arguments: int) -> int:
    number = host_syscalls.numbers(machine)[name]
    return bpf.verdict(code, host_syscalls.AUDIT_ARCH[machine], number, arguments)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", FREQUENT.split())
def test_frequent_calls_never_run_the_filter(machine: str, name: str) -> None:
    number = host_syscalls.numbers(machine)[name]
    assert bpf.is_left_out(usual(machine), host_syscalls.AUDIT_ARCH[machine], number)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_that_is_judged_by_its_arguments_runs_the_filter(machine: str) -> None:
    for name in ("write", "lseek", "close", "clone", "mount", "sendto"):
        number = host_syscalls.numbers(machine)[name]
        assert not bpf.is_left_out(usual(machine), host_syscalls.AUDIT_ARCH[machine], number)


@pytest.mark.parametrize("machine", MACHINES)
def test_each_number_gets_its_own_verdict_and_no_neighbours(machine: str) -> None:
    code = usual(machine)
    arch = host_syscalls.AUDIT_ARCH[machine]
    numbers = host_syscalls.numbers(machine)
    watches = [watch for watch in policy.watches(ContainmentPolicy(), (), FIRST_FD) if watch.name in numbers]
    always = {numbers[watch.name] for watch in watches if watch.arg is None}
    by_arguments = {numbers[watch.name] for watch in watches if watch.arg is not None}
    by_arguments |= {numbers[name] for name in ("write", "sendmsg", "clone")}
    refused = {numbers[name]: EPERM for name in policy.NEVER_NEEDED.split() if name in numbers}
    refused[numbers["clone3"]] = ENOSYS
    for number in range(600):
        if number in refused:
            assert bpf.verdict(code, arch, number) == refused[number]
        elif number in always:
            assert bpf.verdict(code, arch, number) == NOTIFY
        elif number not in by_arguments:
            assert bpf.is_left_out(code, arch, number)
    assert len(always) > 80


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide_where_a_watch_names_one(machine: str) -> None:
    code = usual(machine)
    assert verdict(code, machine, "lseek", 3, 0, MARKER_WHENCE) == NOTIFY
    assert verdict(code, machine, "lseek", 3, 0, 2) == bpf.ALLOW
    assert verdict(code, machine, "close", FIRST_FD) == NOTIFY
    assert verdict(code, machine, "close", 0xFFFFFFFF) == NOTIFY
    assert verdict(code, machine, "close", FIRST_FD - 1) == bpf.ALLOW
    assert verdict(code, machine, "openat", -100, 0, os.O_WRONLY) == NOTIFY
    assert verdict(code, machine, "openat", -100, 0, os.O_DIRECTORY) == bpf.ALLOW
    assert verdict(code, machine, "prctl", 22) == NOTIFY
    assert verdict(code, machine, "prctl", 15) == bpf.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_of_the_log_only_some_lengths_are_held(machine: str) -> None:
    for code in (usual(machine), filter_of(machine, [Watch("write"), Watch("sendmsg")])):
        held = [
            length
            for length in range(200)
            if verdict(code, machine, "write", FIRST_FD + 3, 0, length) == NOTIFY
        ]
        assert held == list(LENGTHS)
        # By this the launcher sends the listener.
        assert verdict(code, machine, "sendmsg", FIRST_FD, 0, 25) == bpf.ALLOW
        assert verdict(code, machine, "sendmsg", FIRST_FD + 3, 0, 25) == NOTIFY
    assert verdict(usual(machine), machine, "write", 1, 0, 25) == bpf.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_name_a_descriptor_of_the_emulator_are_held(machine: str) -> None:
    code = usual(machine)
    for name in (
        "dup",
        "fcntl",
        "lseek",
        "ftruncate",
        "fallocate",
        "pwrite64",
        "writev",
        "sendfile",
        "flock",
    ):
        assert verdict(code, machine, name, FIRST_FD + 3) == NOTIFY
        assert verdict(code, machine, name, FIRST_FD - 1) == bpf.ALLOW
    assert verdict(code, machine, "dup3", FIRST_FD + 3, 4) == NOTIFY
    assert verdict(code, machine, "dup3", 4, FIRST_FD + 3) == NOTIFY
    assert verdict(code, machine, "dup3", 4, 5) == bpf.ALLOW
    for name in ("splice", "copy_file_range", "epoll_ctl"):
        assert verdict(code, machine, name, 4, 0, FIRST_FD + 3) == NOTIFY
        assert verdict(code, machine, name, 4, 0, 5) == bpf.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_a_rule_on_write_holds_the_guests_own_writes(machine: str) -> None:
    code = filter_of(machine, [Watch("write")])
    assert verdict(code, machine, "write", 1, 0, 7) == NOTIFY
    assert verdict(code, machine, "write", FIRST_FD + 3, 0, 7) == bpf.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_name_spaces_are_refused_and_a_watched_clone_is_held_all_the_same(machine: str) -> None:
    code = usual(machine)
    assert verdict(code, machine, "clone", 0x10000000 | 17) == EPERM
    assert verdict(code, machine, "clone", 17) == NOTIFY
    assert verdict(code, machine, "clone3", 0) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_abi_end_the_process(machine: str) -> None:
    assert bpf.verdict(usual(machine), 0x40000003, 1) == bpf.KILL
    if machine == "x86_64":
        assert bpf.verdict(usual(machine), host_syscalls.AUDIT_ARCH[machine], 0x40000001) == bpf.KILL


def test_a_tree_with_distant_branches_decides_each_number() -> None:
    checks: dict[int, list[Instruction]] = {
        number: [(filter_tree.LOAD, 0, 0, 16)] * 40 + [(filter_tree.RETURN, 0, 0, number)]
        for number in range(0, 60, 2)
    }
    code = seccomp.packed([(filter_tree.LOAD, 0, 0, 0), *filter_tree.assemble(checks, first=8)])
    for number in range(70):
        assert bpf.verdict(code, 0, number) == (number if number in checks else bpf.ALLOW)
