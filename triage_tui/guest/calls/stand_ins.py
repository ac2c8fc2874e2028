"""Our ends of the sockets that rules gave the guest: what comes is read, and answered where asked for.

A stand-in for a netlink socket is one end of a pair of local sockets that keep message borders and ignore
addresses given with a message (SOCK_SEQPACKET, unix(7)), so that a message to "the kernel" arrives. What such
a pair cannot do is answered for it: bind, options of netlink(7), and getsockname with an address of the right
family. Our end has a name of the length and with the port of the kernel's address, so that who asks for the
sender gets that. What it answers is in `netlink_kernel`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence

import msgspec

from triage_tui.guest.calls import netlink_kernel
from triage_tui.guest.calls.conversation import Conversation
from triage_tui.guest.host import host_memory
from triage_tui.guest.host.seccomp import Notification
from triage_tui.rulehost.peer_script import PeerScript
from triage_tui.rulehost.protocol import Endian

_LONGEST = 65536
_AF_NETLINK = 16
_SOL_NETLINK = 270
_ADDRESS = struct.Struct("=HHII")
"""struct sockaddr_nl as the emulator hands it to the kernel: family, padding, port, groups."""
_OF_NETLINK = frozenset(("bind", "getsockname", "setsockopt", "sendto", "sendmsg"))
_MESSAGE = struct.Struct("=QI4xQQ")
"""struct msghdr up to msg_iovlen, on both hosts."""
_PART = struct.Struct("=QQ")
"""struct iovec."""
_MOST_PARTS = 64

MOST = 256
"""Connections at a time: each takes a descriptor and a thread of ours."""
_NAMES = MOST
_PATIENCE_S = 1.0

Responder = Callable[[bytes], tuple[Sequence[bytes], bool]]
"""Given what came of the guest, the messages of the answer, and whether to hang up behind them."""


def _name_as_kernel(end: socket.socket) -> None:
    """Give our end of a pair a name that reads as the kernel's struct sockaddr_nl, but for its family.

    The kernel hands a sender's name to recvfrom and recvmsg. Twelve bytes, port 0, no groups: that is what
    libraries compare. The name begins with a zero byte and thus is in no directory; its second byte, within
    nl_pad, tells the sockets of this machine apart. Without a free one the sender has no address.
    """
    for number in range(_NAMES):
        try:
            end.bind(bytes((0, number)) + bytes(8))
        except OSError:
            continue
        return


def _sent(name: str, notification: Notification) -> bytes | None:
    """Return what a call sends, None for more than is read at once.

    Raises:
        OSError: it cannot be read.
    """
    tid = notification.tid
    _, first, second = notification.args[:3]
    parts = [(first, second)]
    if name == "sendmsg":
        header = host_memory.read_memory(tid, first, _MESSAGE.size)
        _, _, vector, count = _MESSAGE.unpack(header)
        if count > _MOST_PARTS:
            return None
        parts = list(_PART.iter_unpack(host_memory.read_memory(tid, vector, count * _PART.size)))
    if sum(size for _, size in parts) > _LONGEST:
        return None
    return b"".join(host_memory.read_memory(tid, at, size) for at, size in parts if size)


def _send(end: socket.socket, answer: bytes) -> None:
    """Send without waiting: a guest that reads no answers loses them."""
    with contextlib.suppress(BlockingIOError):
        end.send(answer, socket.MSG_DONTWAIT)


def _is_over(end: socket.socket) -> bool:
    """Return whether nothing is to come any more, when nothing came: else it was an empty message.

    A guest that will only send no more may still wait for us to hang up, so that its own end is waited for.
    """
    poll = select.poll()
    poll.register(end, select.POLLRDHUP)
    if not poll.poll(0):
        return False
    poll.modify(end, 0)
    poll.poll()
    return True


def _local_sockets(pid: int) -> frozenset[int] | None:
    """Return the inodes of all local sockets in the network name space of a process, None where not told."""
    try:
        with open(f"/proc/{pid}/net/unix", encoding="utf-8", errors="replace") as file:
            # Num RefCount Protocol Flags Type St Inode Path
            rows = [line.split() for line in file][1:]
    except OSError:
        return None
    return frozenset(int(row[6]) for row in rows if len(row) > 6)


class _Peer(msgspec.Struct, eq=False):
    """Our end of one connection."""

    end: socket.socket
    inode: int
    """That of the guest's end."""
    respond: Responder | None
    label: bytes = b""
    """What the rule calls it that gave it to the guest."""
    port: int = 0
    """That of a netlink socket which the guest's end stands in for."""
    thread: threading.Thread | None = None
    answering: threading.Lock = msgspec.field(default_factory=threading.Lock)


def _answer(peer: _Peer, message: bytes) -> bool:
    """Answer a message; True when the peer hangs up behind that."""
    if peer.respond is None:
        return False
    with peer.answering:
        answers, ends = peer.respond(message)
        for answer in answers:
            _send(peer.end, answer)
    return ends


class Peers:
    """Our ends of connections that rules gave the guest, at most `MOST` at a time.

    A thread serves each until the guest's end is closed.
    """

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """`say` takes a line about what a scripted peer was told, in any thread."""
        self._say = say or (lambda _line: None)
        self._lock = threading.Lock()
        self._peers: dict[int, _Peer] = {}
        """Inode of the guest's end -> our end."""
        self._netlink: dict[int, _Peer] = {}
        """Those of them that stand in for a netlink socket."""

    def has_room(self, pid: int) -> bool:
        """Return whether one more can be had; `pid` is a process of the guest."""
        with self._lock:
            if len(self._peers) < MOST:
                return True
            known = list(self._peers.values())
        # Nobody tells of the end of a datagram socket.
        living = _local_sockets(pid)
        if living is not None:
            for peer in known:
                if peer.inode not in living:
                    self._hang_up(peer)
        with self._lock:
            return len(self._peers) < MOST

    def add(
        self,
        end: socket.socket,
        guests: socket.socket,
        respond: Responder | None = None,
        label: bytes = b"",
    ) -> None:
        """Keep `end`, read everything that comes, and send what `respond` makes of it.

        `guests` is the guest's end, which may be closed here afterwards.
        """
        self._add(_Peer(end, os.fstat(guests.fileno()).st_ino, respond, label))

    def add_scripted(self, end: socket.socket, guests: socket.socket, script: PeerScript) -> None:
        """Keep `end`, and answer as the script says."""
        is_stream = end.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        if script.greeting:
            _send(end, script.greeting)
        conversation = Conversation(script, is_stream, self._say)

        def respond(message: bytes) -> tuple[Sequence[bytes], bool]:
            answer, ends = conversation.respond(message)
            return [answer] if answer else [], ends

        self.add(end, guests, respond)

    def add_netlink(
        self,
        end: socket.socket,
        guests: socket.socket,
        endian: Endian,
        port: int,
        *,
        protocol: int = -1,
        takes_changes: bool = True,
    ) -> None:
        """Keep `end` as the kernel's side of a netlink socket whose guest's side is `guests`.

        `port` is the socket's port until the guest chooses one: the id of its process, netlink(7). Where the
        `protocol` is not known (-1), every request is acknowledged.
        """
        peer = _Peer(end, os.fstat(guests.fileno()).st_ino, None, port=port)

        def respond(message: bytes) -> tuple[Sequence[bytes], bool]:
            told = netlink_kernel.answers(message, endian, protocol, peer.port, takes_changes=takes_changes)
            return told, False

        peer.respond = respond
        _name_as_kernel(end)
        with self._lock:
            self._netlink[peer.inode] = peer
        self._add(peer)

    def _add(self, peer: _Peer) -> None:
        peer.thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
        with self._lock:
            self._peers[peer.inode] = peer
        try:
            peer.thread.start()
        except RuntimeError:
            # No more threads: the guest finds that it is hung up on.
            self._forget(peer)
            peer.end.close()

    def _forget(self, peer: _Peer) -> None:
        with self._lock:
            for table in (self._peers, self._netlink):
                if table.get(peer.inode) is peer:
                    del table[peer.inode]

    def _hang_up(self, peer: _Peer) -> None:
        """End a connection; its thread closes our end."""
        self._forget(peer)
        with contextlib.suppress(OSError):
            peer.end.shutdown(socket.SHUT_RDWR)

    def _serve(self, peer: _Peer) -> None:
        end = peer.end
        with end, contextlib.suppress(OSError):
            while (message := end.recv(_LONGEST)) or not _is_over(end):
                if message and _answer(peer, message):
                    break
        self._forget(peer)

    def label(self, inode: int) -> bytes:
        """Return the label of the guest's end with this inode, empty where it has none."""
        with self._lock:
            peer = self._peers.get(inode)
        return peer.label if peer is not None else b""

    def tell(self, tid: int, fd: int, message: bytes) -> int:
        """Take `message` for one that was sent on the guest's socket `fd`; return its length.

        An empty one is not told: the result is 0 where a peer is behind the socket.

        Raises:
            OSError: there is none (ENOTCONN), or no such descriptor.
        """
        inode = os.stat(f"/proc/{tid}/fd/{fd & 0xFFFFFFFF}").st_ino
        with self._lock:
            peer = self._peers.get(inode)
        if peer is None:
            raise OSError(errno.ENOTCONN, "no peer")
        if message and _answer(peer, message):
            self._hang_up(peer)
        return len(message)

    def may_answer(self, name: str, notification: Notification) -> bool:
        """Return whether a call may be one of those that a netlink stand-in cannot carry out itself."""
        if name not in _OF_NETLINK or not self._netlink:
            return False
        return name != "setsockopt" or notification.args[1] & 0xFFFFFFFF == _SOL_NETLINK

    def answers_netlink(self, name: str, notification: Notification, pid: int) -> int | None:
        """Carry out what netlink(7) has of its own on a stand-in; None for any other call or socket.

        The result is that of the call; `pid` is the process that makes it. What it sends is answered before
        the call returns, as the kernel does: who reads without waiting finds the answer.
        """
        if not self.may_answer(name, notification):
            return None
        fd, address, size = notification.args[:3]
        try:
            inode = os.stat(f"/proc/{notification.tid}/fd/{fd & 0xFFFFFFFF}").st_ino
            peer = self._netlink.get(inode)
            if peer is None:
                return None
            if name in ("sendto", "sendmsg"):
                message = _sent(name, notification)
                if message is None:
                    return None
                _answer(peer, message)
                return len(message)
            if name == "bind" and size & 0xFFFFFFFF >= _ADDRESS.size:
                data = host_memory.read_memory(notification.tid, address, _ADDRESS.size)
                peer.port = _ADDRESS.unpack(data)[2] or peer.port
            if name == "getsockname":
                room = int.from_bytes(host_memory.read_memory(notification.tid, size, 4), "little")
                data = _ADDRESS.pack(_AF_NETLINK, 0, peer.port, 0)
                host_memory.write_memory(notification.tid, address, data[:room])
                host_memory.write_memory(notification.tid, size, struct.pack("=I", len(data)))
        except OSError:
            return None
        return 0

    def close(self) -> None:
        """Hang up on all of them."""
        with self._lock:
            known = list(self._peers.values())
        for peer in known:
            self._hang_up(peer)
        for peer in known:
            if peer.thread is not None:
                peer.thread.join(_PATIENCE_S)
