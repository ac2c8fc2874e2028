"""Our ends of the sockets that rules gave the guest: what comes is read, and answered where asked for.

A stand-in for a netlink socket is one end of a pair of local sockets that keep message borders and ignore
addresses given with a message (SOCK_SEQPACKET, unix(7)), so that a message to "the kernel" arrives. What such
a pair cannot do is answered for it: bind, and getsockname with an address of the right family. Our end has a
name of the length and with the port of the kernel's address, so that who asks for the sender gets that.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable

from triage_tui.guest.host import process
from triage_tui.guest.host.seccomp import Notification
from triage_tui.rulehost.protocol import Endian

_LONGEST = 65536
_REQUEST, _MULTI, _ACK, _DUMP = 1, 2, 4, 0x300
_ERROR, _DONE = 2, 3
"""Flags and types of struct nlmsghdr, netlink(7)."""
_AF_NETLINK = 16
_ADDRESS = struct.Struct("=HHII")
"""struct sockaddr_nl as the emulator hands it to the kernel: family, padding, port, groups."""
_ADDRESS_CALLS = frozenset(("bind", "getsockname"))

_NAMES = 256

Responder = Callable[[bytes], bytes]
"""Given one message of the guest, the answer, empty for none."""


def acknowledge(message: bytes, endian: Endian, port: int = 0) -> bytes:
    """Return how a kernel without objections answers the netlink requests in `message`, in the guest's order.

    A dump is empty, everything else is acknowledged if the guest asks for that. Answers carry the `port` of
    the guest's socket, as the kernel's do, whatever the request says.
    """
    order = "<" if endian == "little" else ">"
    header = struct.Struct(order + "IHHII")
    answer = b""
    at = 0
    while at + header.size <= len(message):
        length, _kind, flags, sequence, _port = header.unpack_from(message, at)
        if length < header.size or not flags & _REQUEST:
            break
        if flags & _DUMP == _DUMP:
            answer += header.pack(header.size + 4, _DONE, _MULTI, sequence, port) + bytes(4)
        elif flags & _ACK:
            asked = message[at : at + header.size]
            answer += header.pack(2 * header.size + 4, _ERROR, 0, sequence, port) + bytes(4) + asked
        at += length + 3 & -4
    return answer


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


class Peers:
    """Our ends of connections that rules gave the guest; a thread serves each until it ends."""

    def __init__(self) -> None:
        self._ends: list[socket.socket] = []
        self._netlink: dict[int, int] = {}
        """Inode of a guest's end that stands in for a netlink socket -> the socket's port."""

    def add(self, end: socket.socket, respond: Responder | None = None) -> None:
        """Keep `end`, read everything that comes, and send what `respond` makes of it."""
        self._ends.append(end)
        threading.Thread(target=self._serve, args=(end, respond), daemon=True).start()

    def add_netlink(self, end: socket.socket, guests: socket.socket, endian: Endian, port: int) -> None:
        """Keep `end` as the kernel's side of a netlink socket whose guest's side is `guests`.

        `port` is the socket's port until the guest chooses one: the id of its process, netlink(7).
        """
        inode = os.fstat(guests.fileno()).st_ino
        self._netlink[inode] = port
        _name_as_kernel(end)
        self.add(end, lambda message: acknowledge(message, endian, self._netlink[inode]))

    @staticmethod
    def _serve(end: socket.socket, respond: Responder | None) -> None:
        with contextlib.suppress(OSError):
            while message := end.recv(_LONGEST):
                if respond is not None and (answer := respond(message)):
                    end.send(answer, socket.MSG_DONTWAIT)

    def answers_address(self, name: str, notification: Notification, pid: int) -> bool:
        """Carry out bind and getsockname of a netlink stand-in; False for any other call or socket.

        The call's result is 0; `pid` is the process that makes it.
        """
        if name not in _ADDRESS_CALLS or not self._netlink:
            return False
        fd, address, size = notification.args[:3]
        try:
            inode = os.stat(f"/proc/{notification.tid}/fd/{fd & 0xFFFFFFFF}").st_ino
            if inode not in self._netlink:
                return False
            if name == "bind" and size & 0xFFFFFFFF >= _ADDRESS.size:
                data = process.read_memory(notification.tid, address, _ADDRESS.size)
                self._netlink[inode] = _ADDRESS.unpack(data)[2] or self._netlink[inode]
            if name == "getsockname":
                room = int.from_bytes(process.read_memory(notification.tid, size, 4), "little")
                data = _ADDRESS.pack(_AF_NETLINK, 0, self._netlink[inode], 0)
                process.write_memory(notification.tid, address, data[:room])
                process.write_memory(notification.tid, size, struct.pack("=I", len(data)))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hang up on all of them."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()
