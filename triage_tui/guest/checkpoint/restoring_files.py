"""Give a guest that has only just been started the open files of a checkpoint."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint.injecting import CallFailed, Injector
from triage_tui.guest.checkpoint.model import Checkpoint, OpenFile
from triage_tui.text import safe_line

_AT_FDCWD = -100
_CLOEXEC = 0x80000
_F_SETFD, _F_SETFL = 2, 4
_STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}


def guest_flags(arch: Arch, flags: int) -> int:
    """Return open flags with the guest's values: access mode, O_APPEND, O_NONBLOCK, O_SYNC."""
    mips = arch.name.startswith("mips")
    found = flags & os.O_ACCMODE
    if flags & os.O_APPEND:
        found |= 0x8 if mips else 0x400
    if flags & os.O_NONBLOCK:
        found |= 0x80 if mips else 0x800
    if flags & os.O_SYNC == os.O_SYNC:
        found |= 0x4010 if mips else 0x101000
    return found


class FileRestorer:
    """Restores the descriptors of one guest."""

    def __init__(
        self, checkpoint: Checkpoint, injector: Injector, remove: Callable[[bytes], int], highest: int
    ) -> None:
        """`remove` takes away what is at a path of the guest's; `highest` is its highest descriptor."""
        self._checkpoint = checkpoint
        self._injector = injector
        self._remove = remove
        self._targets = {one.fd for one in checkpoint.descriptors}
        self._free = max([2, *self._targets]) + 1
        self._highest = highest
        self._parked: list[int] = []
        self._pipes: dict[int, tuple[int, int]] = {}
        self._at: dict[int, int] = {}
        """Id of an open file -> a descriptor of it."""

    def restore(self) -> dict[int, int]:
        """Make the descriptors those of the checkpoint; return pipe -> a descriptor that can be written.

        Raises:
            TriageError: one of them cannot be had again.
        """
        # What a new process has is in the way of what is to be there.
        streams = {number: self._park(number) for number in (0, 1, 2)}
        for file in self._checkpoint.files:
            if file.kind in _STREAMS:
                self._at[file.id] = fd = streams[_STREAMS[file.kind]]
                if file.offset:
                    self._seek(fd, file.offset)
                if file.flags & os.O_NONBLOCK:
                    self._set_flags(fd, file)
            elif any(one.file == file.id for one in self._checkpoint.descriptors):
                self._at[file.id] = self._made(file)
        for one in self._checkpoint.descriptors:
            source = self._at[one.file]
            if source == one.fd:
                if one.cloexec:
                    self._injector.call("fcntl", one.fd, _F_SETFD, 1)
                continue
            self._injector.call("dup3", source, one.fd, _CLOEXEC if one.cloexec else 0)
        for number in {0, 1, 2} - self._targets:
            self._injector.call("close", number)
        for number in self._parked:
            self._injector.call("close", number)
        writers = {}
        for file in self._checkpoint.files:
            if file.kind == "pipe" and file.flags & os.O_ACCMODE != os.O_RDONLY:
                writers[file.pipe] = next(
                    one.fd for one in self._checkpoint.descriptors if one.file == file.id
                )
        return writers

    def _park(self, fd: int) -> int:
        """Put a duplicate of a descriptor where it is in nobody's way, until all are there."""
        number = self._free
        self._free += 1
        if number > self._highest:
            raise TriageError("it had so many descriptors that there is no room to make them again")
        self._injector.call("dup3", fd, number, 0)
        self._parked.append(number)
        return number

    def _settled(self, fd: int, file: OpenFile) -> int:
        """Return a descriptor of what was opened as `fd` that no other one needs."""
        wants = [one.fd for one in self._checkpoint.descriptors if one.file == file.id]
        if fd in wants:
            return fd
        if fd not in self._targets:
            self._parked.append(fd)
            return fd
        number = self._park(fd)
        self._injector.call("close", fd)
        return number

    def _made(self, file: OpenFile) -> int:
        try:
            if file.kind == "pipe":
                return self._end_of_pipe(file)
            if file.kind in ("inet", "unix"):
                return self._settled(self._socket(file), file)
            place = self._injector.put(os.fsencode(file.path) + b"\0")
            fd = self._injector.call(
                "openat", _AT_FDCWD, place, guest_flags(self._injector.arch, file.flags), 0
            )
            if file.offset:
                self._seek(fd, file.offset)
            return self._settled(fd, file)
        except CallFailed as error:
            where = f"{file.address} port {file.port}" if file.address else file.path
            what = safe_line(where, 100) or f"a {file.kind}"
            raise TriageError(f"{what} cannot be opened again: {error}") from None

    def _seek(self, fd: int, offset: int) -> None:
        if self._injector.arch.word == 8 or offset < 1 << 31:
            self._injector.call("lseek", fd, offset, 0)
        else:
            place = self._injector.put(bytes(8))
            self._injector.call("_llseek", fd, offset >> 32, offset, place, 0)

    def _end_of_pipe(self, file: OpenFile) -> int:
        if file.pipe not in self._pipes:
            arch = self._injector.arch
            place = self._injector.put(bytes(8))
            self._injector.call("pipe2", place, 0)
            data = self._injector.read(place, 8)
            ends = [int.from_bytes(data[at : at + 4], arch.endian) for at in (0, 4)]
            parked = [self._park(end) for end in ends]
            for end in ends:
                self._injector.call("close", end)
            self._pipes[file.pipe] = parked[0], parked[1]
        reads = file.flags & os.O_ACCMODE == os.O_RDONLY
        end = self._pipes[file.pipe][0 if reads else 1]
        if file.flags & os.O_NONBLOCK:
            self._set_flags(end, file)
        return end

    def _set_flags(self, fd: int, file: OpenFile) -> None:
        self._injector.call("fcntl", fd, _F_SETFL, guest_flags(self._injector.arch, file.flags))

    def _socket(self, file: OpenFile) -> int:
        arch = self._injector.arch
        mips = arch.name.startswith("mips")
        kind = {1: 2, 2: 1}.get(file.socket_type, file.socket_type) if mips else file.socket_type
        fd = self._injector.call("socket", file.family, kind, file.protocol)
        if file.reuse:
            place = self._injector.put((1).to_bytes(4, arch.endian))
            level, name = (0xFFFF, 4) if mips else (1, 2)
            self._injector.call("setsockopt", fd, level, name, place, 4)
        if file.v6only:
            place = self._injector.put((1).to_bytes(4, arch.endian))
            self._injector.call("setsockopt", fd, int(socket.IPPROTO_IPV6), int(socket.IPV6_V6ONLY), place, 4)
        if address := self._address(file):
            place = self._injector.put(address)
            self._injector.call("bind", fd, place, len(address))
        if file.listening:
            self._injector.call("listen", fd, file.backlog)
        if file.flags & os.O_NONBLOCK:
            self._set_flags(fd, file)
        return fd

    def _address(self, file: OpenFile) -> bytes:
        """Return the socket's address as the guest lays it out, empty for none (unix(7), ip(7), ipv6(7))."""
        family = file.family.to_bytes(2, self._injector.arch.endian)
        if file.family == socket.AF_UNIX:
            path = os.fsencode(file.path)
            if not path:
                return b""
            self._remove(path)
            return family + path + b"\0"
        packed = ipaddress.ip_address(file.address).packed
        if not file.port and not any(packed):
            return b""
        port = file.port.to_bytes(2, "big")
        return family + port + (packed + bytes(8) if len(packed) == 4 else bytes(4) + packed + bytes(4))
