"""The supervisor's end of the launcher: start a cell, talk to its init, end it without leftovers."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from triage_tui.errors import Stopped, TriageError
from triage_tui.guest.calls.carrier import Carrier, NotificationCarrier
from triage_tui.guest.calls.trace_carrier import TraceCarrier
from triage_tui.guest.cell.launcher import MAX_MESSAGE
from triage_tui.guest.host import process

_REPLY_TIMEOUT = 10.0
_LOOK_AGAIN_S = 0.005
_BOOT = """
import sys
sys.path.insert(0, {path!r})
from triage_tui.guest.cell.launcher import main
sys.exit(main({fd}))
"""


class Cell:
    """One running cell: the launcher's process and the channel to its init."""

    def __init__(self, config: dict[str, Any], fds: dict[str, int]) -> None:
        """Start the launcher with `config`; `fds` are handed over by name (they stay open here)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = ours
        self.notes: list[str] = []
        self.single_id = False
        """Whether the guest can have no user id but 0."""
        self.ended: dict[int, int] = {}
        """Inner pid -> wait status, of the processes that init reaped."""
        self.carrier: Carrier | None = None
        self.changes = -1
        """Descriptor of the directory that holds what the guest changes below its root, -1 for none."""
        self.gone = False
        self._replies: list[int] = []
        self._handed: list[int] = []
        """Descriptors that came with replies."""
        self.kept: list[int] = []
        """Descriptors that `keep_open` was given."""
        self._init: int | None = None
        package_root = str(Path(__file__).resolve().parents[3])
        try:
            with theirs:
                self.launcher = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _BOOT.format(path=package_root, fd=theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env={"PYTHONDONTWRITEBYTECODE": "1"},
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        # For the tracer, which is there only if it is needed.
        self._events, events = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders, orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = fds | {"events": events.fileno(), "orders": orders.fileno()}
        # Arguments and environment may be longer than a message can be.
        with events, orders, open(os.memfd_create("config", os.MFD_CLOEXEC), "wb") as file:
            file.write(json.dumps(dict(config, fds=list(fds))).encode())
            file.seek(0)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(ours, [b"config"], [file.fileno(), *fds.values()])

    def fileno(self) -> int:
        """Descriptor that becomes readable when init has something to say."""
        return self._channel.fileno()

    def receive(self) -> None:
        """Take one message of init, which must be there.

        Raises:
            TriageError: the cell or the guest could not be made.
        """
        try:
            data, fds, _flags, _address = socket.recv_fds(self._channel, MAX_MESSAGE, 4)
        except OSError:
            data, fds = b"", []
        for fd in fds:
            os.set_inheritable(fd, False)
        if not data:
            self.gone = True
            return
        message = json.loads(data)
        if message.get("listener") and fds:
            self.carrier = NotificationCarrier(fds[0])
            self.notes.append("seccomp user notification")
        elif "traced" in message:
            self.carrier = TraceCarrier(self._events, self._orders)
            self.notes.append(f"seccomp with ptrace, no notifications: {message['traced']}")
        elif "notes" in message:
            self.notes = message["notes"]
            self.single_id = message["single_id"]
            if fds:
                self.changes = fds[0]
        elif "ended" in message:
            self.ended[message["ended"]] = message["status"]
        elif "reply" in message:
            self._replies.append(message["reply"])
            self._handed += fds
        elif "failed" in message:
            raise TriageError(message["failed"])

    def await_carrier(self, cancelled: Callable[[], bool], timeout: float = 20.0) -> Carrier:
        """Wait until the guest's watched calls can be had; return what carries them.

        Raises:
            TriageError: the cell could not be made, in time or at all, or the start was cancelled.
        """
        deadline = time.monotonic() + timeout
        while self.carrier is None:
            if self.gone:
                raise TriageError("the guest's cell ended while it was being made")
            if cancelled():
                raise Stopped("the start was cancelled")
            if time.monotonic() > deadline:
                raise TriageError("the guest's cell was not ready in time")
            if select.select([self._channel], [], [], 0.1)[0]:
                self.receive()
        return self.carrier

    def await_end(self, pid: int, inner: int) -> None:
        """Hear what init says of the end of the process `pid`, `inner` in the cell, which no longer runs.

        Init hears of it a little later than /proc tells, and not at all when a parent has waited for it.
        Once nothing is left of it, whatever init says of it comes before the next reply.
        """
        deadline = time.monotonic() + _REPLY_TIMEOUT
        while not self.gone and inner not in self.ended and time.monotonic() < deadline:
            nothing_left = not os.path.exists(f"/proc/{pid}")
            if self._exchange({"do": "reap"}, []) < 0:
                # Init is ending too: what it has said can still be read.
                while not self.gone and select.select([self._channel], [], [], 0)[0]:
                    self.receive()
                return
            if nothing_left:
                return
            time.sleep(_LOOK_AGAIN_S)

    def request(self, what: str, path: bytes, mode: int, content_fd: int | None = None) -> int:
        """Have init do file work inside the root; return 0 or a negative host errno."""
        message = {"do": what, "path": path.hex(), "mode": mode}
        return self._exchange(message, [] if content_fd is None else [content_fd])

    def put_back(self, path: bytes, entry: dict[str, Any], content_fd: int | None) -> int:
        """Have init put back what a checkpoint says of `path`, see `cell_files.put_back`; 0 or -errno."""
        message = {"do": "put_back", "path": path.hex(), "entry": entry}
        return self._exchange(message, [] if content_fd is None else [content_fd])

    def reach_id(self, number: int) -> int:
        """Have the next process or thread in the cell get the id `number`; 0 or a negative errno."""
        return self._exchange({"do": "reach_id", "id": number}, [])

    def last_id(self) -> int:
        """Return the id that a process or thread in the cell got last, or a negative errno."""
        return self._exchange({"do": "last_id"}, [])

    def open_file(self, path: bytes) -> int:
        """Return a descriptor of a regular file of the guest's for reading.

        Raises:
            OSError: it is not there, no regular file, or the cell is gone.
        """
        result = self._exchange({"do": "open_file", "path": path.hex()}, [])
        if result < 0 or not self._handed:
            raise OSError(-result or errno.EIO, os.strerror(-result or errno.EIO))
        return self._handed.pop(0)

    def open_socket(self, family: int, kind: int) -> int:
        """Return a descriptor of a new socket of the guest's network name space, or a negative host errno."""
        result = self._exchange({"do": "open_socket", "family": family, "kind": kind}, [])
        return self._handed.pop(0) if result == 0 and self._handed else result or -5

    def open_pair(self, kind: int) -> tuple[socket.socket, socket.socket]:
        """Return two connected local sockets of the guest's network name space.

        Whatever socket is given to the guest has to be of there: one of the host's would reach the host's
        abstract socket names and show its interfaces.

        Raises:
            OSError: there are none to be had.
        """
        result = self._exchange({"do": "open_pair", "kind": kind}, [])
        if result < 0 or len(self._handed) < 2:
            raise OSError(-result or errno.EIO, os.strerror(-result or errno.EIO))
        first, second = (socket.socket(fileno=self._handed.pop(0)) for _ in range(2))
        return first, second

    def _exchange(self, message: dict[str, Any], fds: list[int]) -> int:
        """Have init do a request; return its reply."""
        try:
            socket.send_fds(self._channel, [json.dumps(message).encode()], fds)
            deadline = time.monotonic() + _REPLY_TIMEOUT
            while not self._replies and not self.gone and time.monotonic() < deadline:
                if select.select([self._channel], [], [], 0.1)[0]:
                    self.receive()
        except (OSError, TriageError):
            return -5
        return self._replies.pop(0) if self._replies else -5

    def keep_open(self, fd: int) -> None:
        """Own `fd` until the cell ends (the write end of a guest's input)."""
        self.kept.append(fd)

    def init_pid(self) -> int | None:
        """Return the host pid of the cell's init, None when it is gone."""
        if self._init is None:
            self._init = self._find_init()
        return None if self.gone else self._init

    def _find_init(self) -> int | None:
        found = [pid for pid in process.descendants(self.launcher.pid) if process.inner_pid(pid) == 1]
        return found[0] if found else None

    def end(self) -> bool:
        """Kill everything in the cell, wait until it is gone; False where it may not be yet. Idempotent."""
        # Closing the channel alone would do, but killing is at once: the launcher's end kills init, and
        # init's end has the kernel kill the whole pid name space before init can be reaped.
        if self.launcher.poll() is None and not self.gone:
            with contextlib.suppress(OSError):
                init = self.init_pid()
                if init is not None:
                    process.send_signal(init, signal.SIGKILL)
        self.gone = True
        self._channel.close()
        if self.carrier is not None:
            # Threads that wait for an answer are being killed anyway.
            self.carrier.close()
        self._events.close()
        self._orders.close()
        if self.changes >= 0:
            os.close(self.changes)
            self.changes = -1
        while self._handed:
            os.close(self._handed.pop())
        while self.kept:
            os.close(self.kept.pop())
        try:
            self.launcher.wait(5)
        except subprocess.TimeoutExpired:
            self.launcher.kill()
            self.launcher.wait()
            return False
        # It ends by itself when it has waited for init, behind which nothing of the cell is left.
        return self.launcher.returncode == 0
