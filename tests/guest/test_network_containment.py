"""No descriptor that a guest has is a socket of the host's network name space, whoever gave it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.helpers import carried, spec
from tests.programs import root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.state import sockets
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource

_SO_NETNS_COOKIE = 71
"""Linux 5.14, asm-generic/socket.h: the number of the socket's network name space."""

PEER = """function do_syscall(num, fd)
    if seen == nil then seen = 0 end
    seen = seen + 1
    if seen > 3 then return 0, 0 end
    return 1, c_connect_peer(fd, "blackhole")
end"""
STUB = """function after_syscall(num, ret)
    c_socket_stub("netlink", 3)
    c_socket_stub("blackhole", 3)
    return 0, 0
end"""


def cookie(one: socket.socket) -> bytes:
    return one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)


TRIED = (range(64), range(1000, 1100), range(2030, 2060))
"""Descriptors that the program tries: where its own lie, where its emulator's do, and the last of all."""


def reaching(root: Path, qemu_dir: Path, kind: str, name: str) -> LaunchSpec:
    ends = [str(end) for part in TRIED for end in (part.start, part.stop)]
    return spec(root, qemu_dir, "/bin/reaches", kind, name, name + "d", *ends)


def check_all_are_tried(pid: int) -> None:
    """Fail if a process has a descriptor that the program does not try."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        assert any(int(name) in part for part in TRIED), name


def name_spaces(pid: int) -> dict[int, bytes]:
    """Return the network name space of each socket that a process has."""
    found: dict[int, bytes] = {}
    with sockets.process_handle(pid) as handle:
        for name in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                with sockets.take(handle, int(name)) as taken:
                    found[int(name)] = cookie(taken)
    return found


@pytest.fixture
def outside() -> Iterator[tuple[str, list[socket.socket]]]:
    """Abstract sockets of the host under one name: one that listens, one that receives."""
    name = secrets.token_hex(8)
    with (
        socket.socket(socket.AF_UNIX) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
    ):
        listening.bind(f"\0{name}")
        listening.listen()
        # One name can be bound once: what is sent to it has one like it.
        other.bind(f"\0{name}d")
        for one in (listening, other):
            one.setblocking(False)
        yield name, [listening, other]


def check_silence(ends: list[socket.socket]) -> None:
    listening, receiving = ends
    with pytest.raises(BlockingIOError):
        listening.accept()
    with pytest.raises(BlockingIOError):
        receiving.recv(1)


@pytest.mark.usefixtures("carrier")
@carried("arch", "arm", "mips", "x86_64")
def test_the_emulators_own_descriptors_reach_nothing(
    tmp_path: Path, qemu_dir: Path, outside: tuple[str, list[socket.socket]], arch: str
) -> None:
    name, ends = outside
    root = root_with(tmp_path, arch, "reaches")
    with Guest.start(reaching(root, qemu_dir, "nothing", name)) as guest:
        with socket.socket() as ours:
            assert cookie(ours) not in name_spaces(guest.pid).values()
        check_all_are_tried(guest.pid)
        stop = guest.run_until_stop()
        assert (stop.exit_code, guest.output(), guest.problems) == (3, b"", [])
        assert name_spaces(guest.pid) == {}
        check_all_are_tried(guest.pid)
    check_silence(ends)


@pytest.mark.usefixtures("each_carrier")
def test_what_rules_give_reaches_nothing(
    tmp_path: Path, qemu_dir: Path, outside: tuple[str, list[socket.socket]]
) -> None:
    name, ends = outside
    root = root_with(tmp_path, "arm", "reaches")
    access = RuleAccess(by_name("arm"))
    sources = [RuleSource(hook, hook, text.encode()) for hook, text in (("connect", PEER), ("socket", STUB))]
    how = reaching(root, qemu_dir, "udp", name)
    with RuleHost(sources, access) as rules, Guest.start(how, rules, access=access) as guest:
        stop = guest.run_until_stop()
        assert (stop.exit_code, guest.problems) == (3, [])
        # A pair has the type of the socket that it replaces, bound or not. What stands in for netlink
        # sends to its peer, whatever the address.
        printed = guest.output().decode().splitlines()
        assert [line for line in printed if "sent" not in line] == [
            "type 2 connect 0 became 2",
            "type 2 connect 0 became 2",
            "type 1 connect 0 became 1",
        ]
        given = name_spaces(guest.pid)
        assert len(given) == 9
        check_all_are_tried(guest.pid)
        with socket.socket() as ours:
            assert cookie(ours) not in given.values()
    check_silence(ends)
