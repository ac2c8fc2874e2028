"""Our ends of the sockets that rules gave the guest: what comes is read, and answered where asked for.

A stand-in for a netlink socket is one end of a pair of local sockets that keep message borders and ignore
addresses given with a message (SOCK_SEQPACKET, unix(7)), so that a message to "the kernel" arrives. What such
a pair cannot do is answered for it: bind, and getsockname with an address of the right family.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable

from triage_tui.guest import process
from triage_tui.guest.seccomp import Notification
from triage_tui.rulehost.protocol import Endian

_LONGEST = 65536
_REQUEST, _MULTI, _ACK, _DUMP = 1, 2, 4, 0x300
_ERROR, _DONE = 2, 3
"""Flags and types of struct nlmsghdr, netlink(7)."""
_AF_NETLINK = 16
_ADDRESS_CALLS = frozenset(("bind", "getsockname"))

Responder = Callable[[bytes], bytes]
"""Given one message of the guest, the answer, empty for none."""


def acknowledge(message: bytes, endian: Endian) -> bytes:
    """Return how a kernel without objections answers the netlink requests in `message`, in the guest's order.

    A dump is empty, everything else is acknowledged if the guest asks for that.
    """
    order = "<" if endian == "little" else ">"
    header = struct.Struct(order + "IHHII")
    answer = b""
    at = 0
    while at + header.size <= len(message):
        length, _kind, flags, sequence, port = header.unpack_from(message, at)
        if length < header.size or not flags & _REQUEST:
            break
        if flags & _DUMP == _DUMP:
            answer += header.pack(header.size + 4, _DONE, _MULTI, sequence, port) + bytes(4)
        elif flags & _ACK:
            asked = message[at : at + header.size]
            answer += header.pack(2 * header.size + 4, _ERROR, 0, sequence, port) + bytes(4) + asked
        at += length + 3 & -4
    return answer


class Peers:
    """Our ends of connections that rules gave the guest; a thread serves each until it ends."""

    def __init__(self) -> None:
        self._ends: list[socket.socket] = []
        self._netlink: set[int] = set()
        """Inodes of the guest's ends that stand in for netlink sockets."""

    def add(self, end: socket.socket, respond: Responder | None = None) -> None:
        """Keep `end`, read everything that comes, and send what `respond` makes of it."""
        self._ends.append(end)
        threading.Thread(target=self._serve, args=(end, respond), daemon=True).start()

    def add_netlink(self, end: socket.socket, guests: socket.socket, endian: Endian) -> None:
        """Keep `end` as the kernel's side of a netlink socket whose guest's side is `guests`."""
        self._netlink.add(os.fstat(guests.fileno()).st_ino)
        self.add(end, lambda message: acknowledge(message, endian))

    @staticmethod
    def _serve(end: socket.socket, respond: Responder | None) -> None:
        with contextlib.suppress(OSError):
            while message := end.recv(_LONGEST):
                if respond is not None and (answer := respond(message)):
                    end.send(answer, socket.MSG_DONTWAIT)

    def answers_address(self, name: str, notification: Notification, pid: int, inner: int) -> bool:
        """Carry out bind and getsockname of a netlink stand-in; False for any other call or socket.

        The call's result is 0. `inner` is the id of process `pid` as the guest sees it, its netlink port.
        """
        if name not in _ADDRESS_CALLS or not self._netlink:
            return False
        fd, address, size = notification.args[:3]
        try:
            if os.stat(f"/proc/{pid}/fd/{fd & 0xFFFFFFFF}").st_ino not in self._netlink:
                return False
            if name == "getsockname":
                room = int.from_bytes(process.read_memory(notification.tid, size, 4), "little")
                data = struct.pack("=HHII", _AF_NETLINK, 0, inner, 0)
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
