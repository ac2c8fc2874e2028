"""Give a guest that has only just been started the open files of a checkpoint."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.arch.layouts import layout
from triage_tui.guest.checkpoint.action_table import guest_mask_bytes, mask_size
from triage_tui.guest.checkpoint.injecting import CallFailed, Injector
from triage_tui.guest.checkpoint.model import Checkpoint, OpenFile, Watch
from triage_tui.guest.checkpoint.settling import send, set_socket, set_timer
from triage_tui.text import safe_line

_AT_FDCWD = -100
_EPOLL_CTL_ADD = 1
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


def _socket_type(arch: Arch, number: int) -> int:
    """Return a type of sockets with the guest's number."""
    return {1: 2, 2: 1}.get(number, number) if arch.name.startswith("mips") else number


class FileRestorer:
    """Restores the descriptors of one guest."""

    def __init__(
        self,
        pid: int,
        checkpoint: Checkpoint,
        injector: Injector,
        remove: Callable[[bytes], int],
        highest: int,
    ) -> None:
        """`pid` is the emulator's process, `remove` takes away what is at a path of the guest's; `highest` is
        its highest descriptor."""
        self._pid = pid
        self._checkpoint = checkpoint
        self._injector = injector
        self._remove = remove
        self._targets = {one.fd for one in checkpoint.descriptors}
        self._free = max([2, *self._targets]) + 1
        self._highest = highest
        self._parked: list[int] = []
        self._pipes: dict[int, tuple[int, int]] = {}
        self._pairs: dict[int, int] = {}
        """Id of an end of a pair of sockets -> a descriptor of it."""
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
        self._settle()
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
            if file.kind == "pair":
                return self._end_of_pair(file)
            if file.kind in ("inet", "unix"):
                return self._settled(self._socket(file), file)
            if file.kind in ("eventfd", "epoll", "inotify", "timerfd", "signalfd"):
                return self._settled(self._anonymous(file), file)
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

    def _end_of_pair(self, file: OpenFile) -> int:
        if file.id not in self._pairs:
            arch = self._injector.arch
            place = self._injector.put(bytes(8))
            kind = _socket_type(arch, file.socket_type)
            self._injector.call("socketpair", file.family, kind, file.protocol, place)
            data = self._injector.read(place, 8)
            for number, at in ((file.id, 0), (file.peer, 4)):
                end = int.from_bytes(data[at : at + 4], arch.endian)
                self._pairs[number] = self._park(end)
                self._injector.call("close", end)
        end = self._pairs[file.id]
        set_socket(self._pid, end, file.options)
        if file.flags & os.O_NONBLOCK:
            self._set_flags(end, file)
        return end

    def _anonymous(self, file: OpenFile) -> int:
        inject = self._injector
        match file.kind:
            case "eventfd":
                fd = inject.call("eventfd2", file.counter & 0xFFFFFFFF, int(file.semaphore))
                if more := file.counter & ~0xFFFFFFFF:
                    inject.call("write", fd, inject.put(more.to_bytes(8, inject.arch.endian)), 8)
            case "epoll":
                fd = inject.call("epoll_create1", 0)
            case "inotify":
                fd = inject.call("inotify_init1", 0)
            case "timerfd":
                fd = inject.call("timerfd_create", file.timer.clock if file.timer is not None else 0, 0)
            case _:
                size = mask_size(inject.arch)
                mask = guest_mask_bytes(inject.arch, file.signals.to_bytes(16, "little")[:size])
                fd = inject.call("signalfd4", -1, inject.put(mask), size, 0)
        if file.flags & os.O_NONBLOCK:
            self._set_flags(fd, file)
        return fd

    def _settle(self) -> None:
        """Fill what has its own number now: an epoll instance keeps the numbers that it watches."""
        numbers = {one.file: one.fd for one in self._checkpoint.descriptors}
        for file in self._checkpoint.files:
            fd = numbers.get(file.id, -1)
            if file.kind == "epoll" and fd >= 0:
                for watch in file.watches:
                    self._watch(fd, watch)
            elif file.timer is not None and fd >= 0:
                set_timer(self._pid, fd, file.timer)
            elif file.kind == "pair" and fd >= 0:
                send(self._pid, numbers[file.peer], self._checkpoint.queues.get(file.id, []))

    def _watch(self, fd: int, watch: Watch) -> None:
        arch = self._injector.arch
        shape = layout(arch, "epoll_event")
        data = bytearray(shape.size)
        # The kernel has kept as a number what lies in the guest's memory in the guest's order.
        for name, value in (("events", watch.events), ("data", watch.data)):
            place = shape.fields[name]
            data[place.offset : place.offset + place.size] = value.to_bytes(place.size, arch.endian)
        try:
            self._injector.call("epoll_ctl", fd, _EPOLL_CTL_ADD, watch.fd, self._injector.put(bytes(data)))
        except CallFailed as error:
            raise TriageError(f"descriptor {watch.fd} cannot be watched by {fd} again: {error}") from None

    def _set_flags(self, fd: int, file: OpenFile) -> None:
        self._injector.call("fcntl", fd, _F_SETFL, guest_flags(self._injector.arch, file.flags))

    def _socket(self, file: OpenFile) -> int:
        arch = self._injector.arch
        mips = arch.name.startswith("mips")
        kind = _socket_type(arch, file.socket_type)
        fd = self._injector.call("socket", file.family, kind, file.protocol)
        if file.reuse:
            place = self._injector.put((1).to_bytes(4, arch.endian))
            level, name = (0xFFFF, 4) if mips else (1, 2)
            self._injector.call("setsockopt", fd, level, name, place, 4)
        if file.v6only:
            place = self._injector.put((1).to_bytes(4, arch.endian))
            self._injector.call("setsockopt", fd, int(socket.IPPROTO_IPV6), int(socket.IPV6_V6ONLY), place, 4)
        # What decides about the address comes before it.
        set_socket(self._pid, fd, file.options)
        if address := self._address(file):
            place = self._injector.put(address)
            self._injector.call("bind", fd, place, len(address))
            if file.path.startswith("/"):
                place = self._injector.put(os.fsencode(file.path) + b"\0")
                if file.user or file.group:
                    self._injector.call("fchownat", _AT_FDCWD, place, file.user, file.group, 0)
                self._injector.call("fchmodat", _AT_FDCWD, place, file.mode)
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
            if path[:1] == b"\0":
                return family + path
            self._remove(path)
            return family + path + b"\0"
        packed = ipaddress.ip_address(file.address).packed
        if not file.port and not any(packed):
            return b""
        port = file.port.to_bytes(2, "big")
        return family + port + (packed + bytes(8) if len(packed) == 4 else bytes(4) + packed + bytes(4))
