"""What is answered without being executed, and what the filter watches."""

from __future__ import annotations

import errno
import struct

import pytest

from triage_tui.guest.cell import policy
from triage_tui.guest.cell.policy import ContainmentPolicy
from triage_tui.guest.host import host_syscalls, seccomp
from triage_tui.guest.host.seccomp import Notification
from triage_tui.runs.model import Syscall


def judge(name: str, *args: int, allow: frozenset[str] = frozenset()) -> policy.Refusal | None:
    padded = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return ContainmentPolicy(allow).judge(name, Notification(1, 1, 0, padded))


@pytest.mark.parametrize(
    "name",
    [
        "mount",
        "umount2",
        "pivot_root",
        "reboot",
        "sethostname",
        "setdomainname",
        "settimeofday",
        "clock_settime",
        "swapon",
        "init_module",
        "finit_module",
        "kexec_load",
        "ptrace",
        "unshare",
        "setns",
        "bpf",
    ],
)
def test_dangerous_calls_are_refused_with_a_reason(name: str) -> None:
    refusal = judge(name)
    assert refusal is not None
    assert refusal.result == -errno.EPERM
    assert refusal.why.startswith("refused by containment: ")
    assert judge(name, allow=frozenset((name,))) is None


@pytest.mark.parametrize(
    ("request_number", "refused"), [(0x8914, True), (0x8916, True), (0x8933, False), (0x8927, False)]
)
def test_network_configuration_is_refused_questions_are_not(request_number: int, refused: bool) -> None:
    assert (judge("ioctl", 3, request_number) is not None) is refused


def test_signals_stay_inside() -> None:
    assert judge("kill", 5, 9) is None
    assert judge("kill", 1, 9) is not None
    assert judge("kill", 1, 0) is None
    assert judge("tgkill", 1, 1, 15) is not None
    assert judge("rt_sigqueueinfo", 1, 9) is not None
    assert judge("kill", 0xFFFFFFFFFFFFFFFF, 9) is None


@pytest.mark.parametrize(
    ("family", "refused"),
    [
        *((number, False) for number in (1, 2, 8, 10, 15, 16, 17, 24, 29, 31)),
        *((number, True) for number in (3, 9, 21, 30, 33, 38, 40, 41, 42, 43, 44, 45)),
    ],
)
def test_families_that_no_device_needs_are_as_if_the_kernel_had_none(family: int, refused: bool) -> None:
    refusal = judge("socket", family, 3)
    assert (refusal is not None) is refused
    if refusal is not None:
        assert refusal.result == -errno.EAFNOSUPPORT
        assert refusal.why.startswith("refused by containment: sockets of AF_")


@pytest.mark.parametrize("name", ["openat", "read", "write", "socket", "connect", "exit_group"])
def test_ordinary_calls_are_executed(name: str) -> None:
    assert judge(name) is None


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_watched_name_is_known_on_some_host_and_the_filter_is_well_formed(machine: str) -> None:
    watches = policy.watches(ContainmentPolicy(), {"read", "socketcall"}, 1025)
    known = set(host_syscalls.numbers("x86_64")) | set(host_syscalls.numbers("aarch64"))
    # A guest's own names may be hooked that no host has.
    assert {watch.name for watch in watches} - {"socketcall"} <= known
    code = seccomp.program(watches, 1025, machine, refused=policy.NEVER_NEEDED.split())
    instructions = list(struct.iter_unpack("<HBBI", code))
    assert len(instructions) < 4096
    for at, (kind, jump_true, jump_false, value) in enumerate(instructions):
        if kind & 7 == 5:
            # A jump without a condition has its length in the constant.
            assert at + 1 + (value if kind == 5 else max(jump_true, jump_false)) < len(instructions)
    assert instructions[-1][0] == 6


def test_guest_names_lead_to_host_names() -> None:
    assert "openat" in policy.host_names("open")
    assert "newfstatat" in policy.host_names("stat64")
    assert "getuid" in policy.host_names("getuid32")
    assert {"connect", "bind"} <= policy.host_names("socketcall")
    assert policy.host_names("connect") == {"connect"}


def test_a_limit_that_the_kernel_does_not_raise_is_the_cells_doing() -> None:
    call = Syscall(seq=1, name="setrlimit", errno="EPERM")
    assert policy.why_denied(call) == "refused by the cell: no limit can be raised above the host's"
    call.note = "refused by containment: limits of the cell's own first process"
    assert policy.why_denied(call) is None
