"""Our ends of connections that rules gave the guest, and what real programs make of a netlink one."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.calls.stand_ins import MOST, Peers
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.peer_script import PeerScript, PeerStep
from triage_tui.rulehost.sources import RuleSource

Rootfs = Callable[[str], Path]

REQUEST, ACK = 1, 4


def request(order: str, flags: int, sequence: int, text: bytes = b"") -> bytes:
    header = struct.pack(order + "IHHII", 16 + len(text), 0x30, flags, sequence, 99)
    return header + text + bytes(-len(text) % 4)


def test_the_sender_is_the_kernel_for_several_at_once() -> None:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
    peers = Peers()
    try:
        for ours, guests in pairs:
            peers.add_netlink(ours, guests, "little", 2)
        for _, guests in pairs:
            guests.send(request("<", REQUEST | ACK, 7))
            *_, sender = guests.recvmsg(100)
            # Port and groups of a struct sockaddr_nl, without its family.
            assert len(sender) == 10
            assert sender[2:] == bytes(8)
    finally:
        peers.close()
        for _, guests in pairs:
            guests.close()


@pytest.mark.parametrize("name", ["sendto", "sendmsg"])
def test_the_answer_is_there_when_the_call_returns(name: str) -> None:
    """A program that does not wait for it asks the kernel, which answers at once."""
    peers = Peers()
    ours, guests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    message = request("<", REQUEST | ACK, 7)
    text = ctypes.create_string_buffer(message, len(message))
    part = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(text), len(message)))
    header = ctypes.create_string_buffer(struct.pack("=QI4xQQ", 0, 0, ctypes.addressof(part), 1))
    sent = (ctypes.addressof(header), 0) if name == "sendmsg" else (ctypes.addressof(text), len(message))
    call = Notification(1, os.getpid(), 0, (guests.fileno(), *sent, 0, 0, 0))
    try:
        peers.add_netlink(ours, guests, "little", 2)
        assert peers.answers_netlink(name, call, os.getpid()) == len(message)
        assert guests.recv(100, socket.MSG_DONTWAIT)[20:36] == message[:16]
        option = Notification(1, os.getpid(), 0, (guests.fileno(), 270, 11, 0, 4, 0))
        assert peers.answers_netlink("setsockopt", option, os.getpid()) == 0
        other = Notification(1, os.getpid(), 0, (guests.fileno(), 1, 7, 0, 4, 0))
        assert peers.answers_netlink("setsockopt", other, os.getpid()) is None, "SO_SNDBUF, which works"
    finally:
        peers.close()
        guests.close()


def own_sockets() -> int:
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.lexists(link))


def test_a_connection_is_let_go_of_when_the_guest_closes_its_end() -> None:
    peers, before = Peers(), own_sockets()
    for turn in range(3 * MOST):
        ours, guests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with guests:
            # One that has just been closed may still be there.
            while not peers.has_room(os.getpid()):
                os.sched_yield()
            peers.add_netlink(ours, guests, "little", 2)
            # An empty message is no end.
            guests.send(b"")
            guests.send(request("<", REQUEST | ACK, turn))
            assert guests.recv(100)
    peers.close()
    assert own_sockets() == before


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_there_are_only_so_many_at_a_time(kind: socket.SocketKind) -> None:
    peers, before, guests = Peers(), own_sockets(), []
    while peers.has_room(os.getpid()):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        peers.add(ours, theirs)
        guests.append(theirs)
    assert len(guests) == MOST
    guests.pop().close()
    while not peers.has_room(os.getpid()):
        os.sched_yield()
    peers.close()
    for theirs in guests:
        theirs.close()
    assert own_sockets() == before


def test_a_peer_can_be_told_what_was_sent_to_its_address() -> None:
    told: list[str] = []
    ours, guests = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    peers, tid = Peers(told.append), os.getpid()
    try:
        with pytest.raises(OSError, match="no peer"):
            peers.tell(tid, guests.fileno(), b"")
        peers.add_scripted(
            ours, guests, PeerScript("cfgd", steps=(PeerStep("any", b"", (b"ok",), ends=True),))
        )
        assert peers.tell(tid, guests.fileno(), b"") == 0
        assert peers.tell(tid, guests.fileno(), b"hello") == 5
        assert guests.recv(10) == b"ok"
        assert told == ["cfgd got 5 bytes 'hello': reply 1, 2 bytes"]
        # It hung up.
        with pytest.raises(OSError, match="no peer"):
            peers.tell(tid, guests.fileno(), b"hello")
    finally:
        peers.close()
        guests.close()


INSTEAD = """function do_syscall(num, family, kind)
    if family ~= 16 then return 0, 0 end
    return 1, c_socket_stub("netlink", kind)
end"""


@pytest.mark.parametrize(("program", "arch"), [("busybox-arm64", "aarch64"), ("busybox-mipsel", "mipsel")])
@pytest.mark.parametrize(
    "words", ["link", "route", "addr add 10.0.0.1/24 dev lo", "route add default dev lo"]
)
def test_a_real_program_takes_the_answers_for_the_kernels(
    rootfs: Rootfs, qemu_dir: Path, program: str, arch: str, words: str
) -> None:
    """It compares the sender's address, the port and the number of each message."""
    access = RuleAccess(by_name(arch))
    rule = RuleSource("instead", "socket", INSTEAD.encode())
    how = spec(rootfs(program), qemu_dir, "/bin/busybox", "ip", *words.split())
    with RuleHost([rule], access) as host, Guest.start(how, host, access=access) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code, guest.output()) == ("exit", 0, b"")
        (made,) = [call for call in guest.full_trace() if call.rule == "instead" and call.ret is not None]
        assert made.ret is not None
        assert made.ret >= 0
