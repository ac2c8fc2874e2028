"""Local sockets whose two ends are both in one process, as socketpair(2) makes them, and what is in them."""

from __future__ import annotations

import array
import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from triage_tui.guest.checkpoint.model import OpenFile
from triage_tui.guest.checkpoint.obstacles import Obstacle

MOST_UNREAD = 1 << 20
"""Bytes that a checkpoint may keep of what one socket has not read."""
_SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, _UDIAG_SHOW_PEER, _UNIX_DIAG_PEER = 20, 1, 4, 2
_ANY = 0xFFFFFFFF
_HEAD = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_ANSWER = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")
_PATIENCE_S = 2.0
_PIECE = 1 << 16
_SO_PASSCRED, _SO_PEEK_OFF = 16, 42


class Ends:
    """The ends that were found, and whose other ends are looked for."""

    def __init__(self, open_diagnosis: Callable[[], int] | None) -> None:
        """`open_diagnosis` gives a descriptor of a netlink socket of the sockets' name space that answers
        sock_diag(7), or a negative errno."""
        self._open = open_diagnosis
        self._found: dict[int, tuple[OpenFile, str]] = {}
        """Inode -> open file, and it in words."""

    def add(self, inode: int, found: OpenFile, words: str) -> None:
        """Take in a connected local socket without a name, `words` say what it is."""
        self._found[inode] = found, words

    def join(self) -> None:
        """Have each end know the other one.

        Raises:
            Obstacle: somebody else has it, or it is closed.
        """
        if not self._found:
            return
        own = -1 if self._open is None else self._open()
        if own < 0:
            raise Obstacle("this kernel does not tell which of its sockets belong together (unix_diag)")
        with socket.socket(fileno=own) as asked:
            asked.settimeout(_PATIENCE_S)
            for inode, (file, words) in self._found.items():
                other = self._found.get(_peer(asked, inode))
                if other is None or other[0] is file:
                    raise Obstacle(f"{words}: a socket with somebody at its other end")
                file.peer = other[0].id
        if any(other.peer != file.id for file, _ in self._found.values() for other in [self._of(file.peer)]):
            raise Obstacle("two of its sockets do not belong together any more")

    def _of(self, number: int) -> OpenFile:
        return next(file for file, _ in self._found.values() if file.id == number)


def _peer(asked: socket.socket, inode: int) -> int:
    """Return the inode of the socket at the other end, 0 for none (sock_diag(7), "UNIX domain sockets")."""
    body = _REQUEST.pack(socket.AF_UNIX, 0, 0, _ANY, inode, _UDIAG_SHOW_PEER, _ANY, _ANY)
    head = _HEAD.pack(_HEAD.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with suppress(OSError, struct.error):
        asked.send(head + body)
        answer = asked.recv(_PIECE)
        if _HEAD.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
            return 0
        at = _HEAD.size + _ANSWER.size
        while at + _ATTRIBUTE.size <= len(answer):
            size, kind = _ATTRIBUTE.unpack_from(answer, at)
            if kind == _UNIX_DIAG_PEER and size >= _ATTRIBUTE.size + 4:
                return int(struct.unpack_from("=I", answer, at + _ATTRIBUTE.size)[0])
            at += max(_ATTRIBUTE.size, (size + 3) & ~3)
    return 0


def unread(taken: socket.socket, what: str) -> list[bytes]:
    """Return the messages that a local socket has not read yet, which stay there; of a stream, its bytes.

    Raises:
        Obstacle: they hold more than bytes, or are too large.
        OSError: it cannot be asked.
    """
    if taken.getsockopt(socket.SOL_SOCKET, _SO_PASSCRED):
        raise Obstacle(f"{what} is a local socket that is told who writes to it (SO_PASSCRED)")
    poll = select.poll()
    poll.register(taken, select.POLLRDHUP)
    if poll.poll(0):
        raise Obstacle(f"{what} is a local socket that is half closed")
    found: list[bytes] = []
    before = taken.getsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF)
    taken.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
    try:
        while True:
            try:
                data, extra, _flags, _address = taken.recvmsg(
                    MOST_UNREAD, socket.CMSG_SPACE(4 * 253), socket.MSG_PEEK | socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                return found
            if extra:
                _close(extra)
                raise Obstacle(f"{what} is a local socket with more than bytes in it (SCM_RIGHTS)")
            found.append(data)
            if sum(map(len, found)) >= MOST_UNREAD or len(found) > _PIECE:
                raise Obstacle(f"{what} is a local socket with more than 1 MiB to read in it")
    finally:
        taken.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, before)


def _close(extra: list[tuple[int, int, bytes]]) -> None:
    """Close the descriptors that came with a message that was looked at."""
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i", data[: len(data) // 4 * 4])
            for fd in numbers:
                os.close(fd)
