"""Bring QEMU up without leaving anything of it in the guest's view.

QEMU wants to open a log file, listen on a gdb socket and accept a connection. All three happen before the
guest's first instruction, at host system calls that are notified to us, and are answered with descriptors of
our own, placed above the guest's limit of open files: no file or socket ever appears in the guest's root, the
guest's first descriptor is 3 as on the real device, and a loop that closes "all" descriptors does not reach
them. The limit is lowered before the guest's first instruction, and only the soft one is ever touched:
without CAP_SYS_RESOURCE a hard limit that is lowered cannot be raised again.

A guest can use them by their numbers all the same, so no socket of the host's is among them: in the place
of the listening socket is a pipe, and the connection is made inside the cell.
"""

from __future__ import annotations

import os
import resource
import secrets
import socket
from collections.abc import Callable, Iterable

from triage_tui.guest.calls.carrier import Carrier
from triage_tui.guest.host import host_memory
from triage_tui.guest.host.seccomp import Notification, Watch

_NO_PREFIX = ("-L", "/")
"""Without it QEMU looks for every absolute path below /etc/qemu-binfmt/<architecture> first: a call of its
own that looks like the guest's, and a place from where files would be taken instead (util/path.c)."""
_AF_UNIX = 1
LEAST_HEADROOM = 1024
"""Descriptors above the guest's limit that an emulator gets at least."""
OTHER_FILES = 512
"""Descriptors of the supervisor that are left for other things than logs."""
_FIRST_LOG = 3
"""Descriptors of its own that come before the logs."""


def most_logs() -> int:
    """Return how many logs the supervisor can have: each takes two of its descriptors."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(1, (soft - OTHER_FILES) // 2)


def headroom(open_files: int, threads: int) -> int:
    """Return how many descriptors above the guest's limit of `open_files` an emulator may use.

    Each of its at most `threads` threads has a log; the machine's hard limit may allow less.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = max(LEAST_HEADROOM, threads + 16)
    return wanted if hard == resource.RLIM_INFINITY else max(LEAST_HEADROOM, min(wanted, hard - open_files))


class EmulatorStart:
    """The forged part of one emulator's start. `open_files` is the guest's limit."""

    def __init__(self, open_files: int, name: bytes = b"", logs_calls: bool = True, threads: int = 0) -> None:
        """`name` is what the process is to be called, empty to leave it as it is; `threads` is how many it
        may have."""
        self.headroom = headroom(open_files, threads)
        self.first_fd = open_files + 1
        """Descriptors from this one on are the emulator's, the logs from the fourth on.

        This one is the emulator itself for the moment in which a process executes a program."""
        self.listen_fd = open_files + 2
        self.connection_fd = open_files + 3
        token = secrets.token_hex(8)
        self.log_path = f"/.log-{token}."
        self.gdb_path = f"/.gdb-{token}"
        self.stub: socket.socket | None = None
        """Our end of the gdb connection, once the emulator has accepted it."""
        self.open_files = open_files
        self._log_items = "strace,unimp,tid" if logs_calls else "unimp,tid"
        self._listening = False
        self._name = name

    @property
    def program_fd(self) -> int:
        """Descriptor of an executed program that has no path; the number is free after the first start."""
        return self.listen_fd

    def arguments(self) -> list[str]:
        """Return the emulator's options."""
        return ["-g", self.gdb_path, *self.log_arguments()]

    def log_arguments(self) -> list[str]:
        """Return the options of an emulator that starts without a gdb stub."""
        return [*_NO_PREFIX, "-d", self._log_items, "-D", self.log_path + "%d"]

    def watches(self) -> list[Watch]:
        """Return the host calls that have to be seen beyond the usual ones."""
        return [Watch(name, 0, self.listen_fd) for name in ("listen", "accept", "accept4")]

    def log_number(self, used: Iterable[int]) -> int | None:
        """Return a free descriptor for a log, None when there is none."""
        taken = set(used)
        # The limit lies one below the first descriptor.
        numbers = range(self.first_fd + _FIRST_LOG, self.first_fd + self.headroom - 1)
        return next((fd for fd in numbers if fd not in taken), None)

    def is_log_open(self, pid: int, name: str, notification: Notification) -> bool:
        """Return whether this is the emulator opening a thread's log."""
        if name not in ("open", "openat"):
            return False
        address = notification.args[1 if name == "openat" else 0]
        try:
            return host_memory.read_string(pid, address).startswith(self.log_path.encode())
        except OSError:
            return False

    def answer(
        self,
        carrier: Carrier,
        name: str,
        notification: Notification,
        open_pair: Callable[[int], tuple[socket.socket, socket.socket]],
        defer: Callable[[Notification], None],
    ) -> bool:
        """Answer a call of the gdb stub's set-up; False when it is something else.

        `open_pair` makes two connected local sockets of a type in the guest's network name space.
        Notifications that come while the process gets its name are handed to `defer`.

        Raises:
            OSError: the connection could not be made.
        """
        fd = notification.args[0] & 0xFFFFFFFF
        if name == "socket" and fd == _AF_UNIX and not self._listening:
            # It stays open: a socket of the supervisor's would lead a guest to the host's network.
            placeholder, end = os.pipe2(os.O_CLOEXEC)
            try:
                carrier.add_fd(notification, placeholder, self.listen_fd, True)
            finally:
                os.close(placeholder)
                os.close(end)
            self._listening = True
            return carrier.answer(notification, self.listen_fd) or True
        if fd != self.listen_fd:
            return False
        if name == "listen" and self._name:
            given, self._name = self._name, b""
            if carrier.give_name(notification, given, defer):
                return True
        if name in ("bind", "listen"):
            return carrier.answer(notification, 0) or True
        if name in ("accept", "accept4") and self.stub is None:
            ours, theirs = open_pair(socket.SOCK_STREAM)
            with theirs:
                carrier.add_fd(notification, theirs.fileno(), self.connection_fd, True)
            self.stub = ours
            return carrier.answer(notification, self.connection_fd) or True
        return False

    def lower_limit(self, pid: int, open_files: int | None = None) -> None:
        """Give the guest its own limit of open files, at most the one for all of the run, which is usual."""
        limit = self.open_files if open_files is None else min(open_files, self.open_files)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, self.open_files + self.headroom))

    def raise_limit(self, pid: int) -> None:
        """Make room for the emulator's own descriptors again, for a moment."""
        limit = self.open_files + self.headroom
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))

    def close(self) -> None:
        """Let go of the connection, if it is still open."""
        if self.stub is not None:
            self.stub.close()
            self.stub = None
