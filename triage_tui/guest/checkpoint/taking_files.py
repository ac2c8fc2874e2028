"""What a process has open, as far as a new process can open it again."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import stat
import termios
from collections.abc import Callable
from contextlib import suppress

from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint import taking_anonymous
from triage_tui.guest.checkpoint.locks import locks_of
from triage_tui.guest.checkpoint.model import Descriptor, FileKind, FileLock, OpenFile
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.checkpoint.socket_options import read_options
from triage_tui.guest.checkpoint.taking_pairs import Ends, unread
from triage_tui.guest.host.libc import libc
from triage_tui.guest.state import sockets
from triage_tui.runs import process_model

_MOST = 4096
"""Descriptors of a process that a checkpoint may have."""
_TERMINAL_MAJORS = frozenset((4, 5, 136, 137, 138, 139, 204))
_SO_REUSEADDR, _SO_PROTOCOL = 2, 38
_F_GETPIPE_SZ, _F_SETPIPE_SZ = 1032, 1031
_STATUS_FLAGS = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC


class Opened:
    """The open files of one process, each with its descriptors."""

    def __init__(
        self,
        pid: int,
        arch: Arch,
        streams: dict[tuple[int, int], FileKind],
        given: str = "",
        open_diagnosis: Callable[[], int] | None = None,
    ) -> None:
        """`streams` are (device, inode) of the pipes that are the run's own, `given` the name of the file of
        which it has a copy as its input; for `open_diagnosis` see `Ends`."""
        self._pid = pid
        self._arch = arch
        self._ends = Ends(open_diagnosis)
        self._streams = streams
        self._input = f"/memfd:{given} (deleted)" if given else ""
        self.files: list[OpenFile] = []
        self.descriptors: list[Descriptor] = []
        self.pipes: dict[int, bytes] = {}
        self.pipe_sizes: dict[int, int] = {}
        self.queues: dict[int, list[bytes]] = {}
        self.locks: list[FileLock] = []
        self.sockets: set[str] = set()
        """Paths of the local sockets that listen."""
        self._representative: dict[int, int] = {}
        """Id of an open file -> a descriptor of it."""

    def add(self, one: process_model.Descriptor) -> None:
        """Take in one descriptor.

        Raises:
            Obstacle: what it leads to cannot be had in a new process.
            OSError: it is gone.
        """
        if len(self.descriptors) >= _MOST:
            raise Obstacle(f"it has more than {_MOST} descriptors")
        found = next(
            (
                file
                for file in self.files
                if taking_anonymous.same_file(self._pid, one.fd, self._representative[file.id])
            ),
            None,
        )
        if found is None:
            found = self._look(one)
            self.files.append(found)
            self._representative[found.id] = one.fd
        self.descriptors.append(Descriptor(one.fd, found.id, one.cloexec))

    def check(self) -> None:
        """Check that both ends of each pipe and each pair of sockets are here.

        Raises:
            Obstacle: somebody else has the other end.
        """
        self._ends.join()
        for number in self.pipes:
            ends = {
                file.flags & os.O_ACCMODE
                for file in self.files
                if file.kind == "pipe" and file.pipe == number
            }
            if not ends >= {os.O_RDONLY, os.O_WRONLY} and os.O_RDWR not in ends:
                raise Obstacle("the other end of one of its pipes is closed, or with somebody else")

    def _look(self, one: process_model.Descriptor) -> OpenFile:
        number = len(self.files) + 1
        status = os.stat(f"/proc/{self._pid}/fd/{one.fd}")
        found = OpenFile(id=number, kind="file", flags=one.flags & _STATUS_FLAGS, offset=one.offset or 0)
        found.path = os.fsdecode(os.fsencode(os.readlink(f"/proc/{self._pid}/fd/{one.fd}")))
        what = f"descriptor {one.fd}"
        if one.flags & os.O_ASYNC:
            raise Obstacle(f"{what} has a signal sent whenever something comes (O_ASYNC)")
        if one.kind == "socket":
            self._look_at_socket(one.fd, what, found)
        elif stream := self._streams.get((status.st_dev, status.st_ino)):
            found.kind, found.path, found.pipe, found.offset = stream, "", status.st_ino & 0xFFFFFFFF, 0
        elif one.kind == "pipe":
            self._look_at_pipe(one.fd, what, status, found)
        elif one.kind == "device":
            self._look_at_device(what, status, found)
        elif one.kind in ("directory", "file") and self._has_no_name(found.path, status):
            raise Obstacle(f"{what} is a {one.kind} without a name: one that was deleted, or made by a rule")
        elif one.kind == "directory":
            found.kind = "directory"
            if found.offset:
                # Where it stands means something to this one file system only.
                raise Obstacle(f"{what} is a directory that it is just reading")
        elif one.target.startswith("anon_inode:") and taking_anonymous.look(
            self._pid, one.fd, one.target.removeprefix("anon_inode:").strip("[]"), self._arch, found
        ):
            pass
        elif one.kind != "file":
            detail = one.detail or one.target
            raise Obstacle(f"{what} is something that cannot be made again ({detail})")
        elif self._input and found.path == self._input:
            if any(file.kind == "stdin" for file in self.files):
                raise Obstacle(f"{what} is its input, opened once more")
            found.kind, found.path = "stdin", ""
        if one.detail and "locked" in one.detail:
            self.locks += locks_of(self._pid, one.fd, what)
        return found

    def _has_no_name(self, path: str, status: os.stat_result) -> bool:
        """Return whether nothing leads to a file or directory by its path any more."""
        if path == self._input:
            return False
        if status.st_nlink == 0:
            return True
        if not path.endswith(" (deleted)"):
            return False
        try:
            # A name may end like that, too.
            return not os.path.samestat(os.lstat(f"/proc/{self._pid}/root{path}"), status)
        except OSError:
            return True

    def _look_at_device(self, what: str, status: os.stat_result, found: OpenFile) -> None:
        found.kind, found.offset = "device", 0
        major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        if not stat.S_ISCHR(status.st_mode) or major != 1:
            kind = "a terminal" if major in _TERMINAL_MAJORS else f"a device ({major}:{minor})"
            raise Obstacle(f"{what} is {kind} with a state of its own")
        if minor == 3 and found.path != "/dev/null":
            # The null device that every guest gets in the place of its input.
            found.kind, found.path = "stdin", ""

    def _look_at_pipe(self, fd: int, what: str, status: os.stat_result, found: OpenFile) -> None:
        if found.path.startswith("/"):
            raise Obstacle(f"{what} is a named pipe")
        number = status.st_ino & 0xFFFFFFFF
        found.kind, found.path, found.pipe, found.offset = "pipe", "", number, 0
        if number not in self.pipes:
            self.pipes[number], self.pipe_sizes[number] = _content_of_pipe(self._pid, fd, what)

    def _look_at_socket(self, fd: int, what: str, found: OpenFile) -> None:
        found.path = ""
        with sockets.process_handle(self._pid) as handle, sockets.take(handle, fd) as taken:
            described = sockets.look(handle, fd)
            family = taken.family
            words = sockets.in_words(described) if described is not None else "a socket"
            if family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
                raise Obstacle(f"{what} is a socket of a kind that is not made again ({words})")
            found.family, found.socket_type = int(family), int(taken.type) & 0xF
            found.protocol = taken.getsockopt(socket.SOL_SOCKET, _SO_PROTOCOL)
            found.options = read_options(taken)
            names = taken.getsockname(), described is not None and described.peer
            if described is not None and described.state == "connected" and names == ("", "unix:"):
                found.kind = "pair"
                self.queues[found.id] = unread(taken, what)
                inode = os.fstat(taken.fileno()).st_ino & 0xFFFFFFFF
                self._ends.add(inode, found, f"{what} is {words}")
                return
            if described is None or described.state not in ("listening", "bound", "open"):
                raise Obstacle(f"{what} is a socket with somebody at its other end ({words})")
            if described.state == "bound" and taken.type != socket.SOCK_DGRAM:
                described.state = "open"
            found.listening = described.state == "listening"
            found.reuse = bool(taken.getsockopt(socket.SOL_SOCKET, _SO_REUSEADDR))
            found.backlog = 128 if found.listening else 0
            name = taken.getsockname()
            if family == socket.AF_UNIX:
                self._name_unix(what, name, found)
            else:
                found.kind, found.address, found.port = "inet", str(name[0]).partition("%")[0], int(name[1])
                if family == socket.AF_INET6:
                    found.v6only = bool(taken.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
            queued = array.array("i", [0])
            with suppress(OSError):
                fcntl.ioctl(taken, termios.FIONREAD, queued)
            if queued[0] and not found.listening:
                raise Obstacle(f"{what} is a socket with something to read in it ({words})")

    def _name_unix(self, what: str, name: object, found: OpenFile) -> None:
        raw = name if isinstance(name, bytes) else os.fsencode(str(name))
        found.kind, found.path = "unix", os.fsdecode(raw)
        if raw[:1] in (b"", b"\0"):
            return
        if not found.path.startswith("/"):
            raise Obstacle(f"{what} is a local socket with a relative name")
        try:
            status = os.lstat(f"/proc/{self._pid}/root{found.path}")
        except OSError:
            raise Obstacle(f"{what} is a local socket whose file was deleted") from None
        found.mode, found.user, found.group = status.st_mode & 0o7777, status.st_uid, status.st_gid
        self.sockets.add(found.path)


def _content_of_pipe(pid: int, fd: int, what: str) -> tuple[bytes, int]:
    """Return what is in a pipe, which stays there (tee(2)), and how much it can hold."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        source = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = fcntl.fcntl(source, _F_GETPIPE_SZ)
            with suppress(OSError):
                fcntl.fcntl(writer, _F_SETPIPE_SZ, size)
            unread_bytes = array.array("i", [0])
            fcntl.ioctl(source, termios.FIONREAD, unread_bytes)
            libc.tee(source, writer, ctypes.c_size_t(size), 2)
        finally:
            os.close(source)
        data = b""
        with suppress(BlockingIOError):
            while len(data) < unread_bytes[0] and (part := os.read(reader, 1 << 20)):
                data += part
        if len(data) != unread_bytes[0]:
            raise Obstacle(f"{what} is a pipe that holds more than can be read")
        return data, size
    finally:
        os.close(reader)
        os.close(writer)
