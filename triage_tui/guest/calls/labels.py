"""Labels of what rules opened for the guest: which of them is behind a descriptor, whatever its number is.

A label belongs to the open file and not to a number: it is there after dup, fork, exec and passing on, and
gone with the last close. That of a private file is part of its name, that of a socket is kept with our end of
it. A host device has no name of its own: its open file is marked by a lock (F_OFD_SETLK, fcntl(2)) on a byte
far beyond every offset in use, which proc(5) shows with the descriptors of that open file only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import re
import secrets
import struct

from triage_tui.guest.calls.stand_ins import Peers
from triage_tui.guest.host import process
from triage_tui.rulehost.protocol import HOST_DEVICES

_LABELLED = re.compile(rb"/memfd:rule:(.*) \(deleted\)", re.DOTALL)
"""The name of a file of `private_files`."""
_SOCKET = re.compile(rb"socket:\[(\d+)\]")
_LOCK = re.compile(rb"^lock:.*\bOFDLCK\b.* (\d+) \d+$", re.MULTILINE)
_DEVICES = frozenset(os.fsencode(path) for path in HOST_DEVICES)

_F_OFD_SETLK = 37
_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit hosts: type, whence, start, length, pid."""
_MARKS = 1 << 61
_OF_LABEL = 32
"""Bits of a mark that tell the openings of one label apart: others must not be kept from locking theirs."""
_MOST_LABELS = 4096
_TRIES = 64


class Labels:
    """The labels of one guest's host devices, and the way to all others."""

    def __init__(self) -> None:
        self._labels: list[bytes] = []
        # Locks are the host's: guests at the same time begin at different places.
        self._numbers = itertools.count(secrets.randbits(_OF_LABEL))

    def open_device(self, path: bytes, mode: int, label: bytes) -> int:
        """Open a host device for reading, writing or both, and mark the open file with its label.

        Raises:
            OSError: it cannot be opened or marked, or there are too many labels.
        """
        device = os.open(path, mode | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            if label:
                self._mark(device, label)
        except OSError:
            os.close(device)
            raise
        return device

    def _mark(self, device: int, label: bytes) -> None:
        if label not in self._labels:
            if len(self._labels) >= _MOST_LABELS:
                raise OSError(errno.ENOSPC, "too many labels")
            self._labels.append(label)
        first = _MARKS + (self._labels.index(label) << _OF_LABEL)
        can_read = fcntl.fcntl(device, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY
        for number in itertools.islice(self._numbers, _TRIES):
            at = first + number % (1 << _OF_LABEL)
            with contextlib.suppress(BlockingIOError, PermissionError):
                kind = fcntl.F_RDLCK if can_read else fcntl.F_WRLCK
                fcntl.fcntl(device, _F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, at, 1, 0))
                return
        raise OSError(errno.EAGAIN, "the open file cannot be marked")

    def of(self, pid: int, fd: int, peers: Peers) -> bytes:
        """Return the label of what descriptor `fd` of a process is open on, empty for anything else.

        Raises:
            OSError: there is no such descriptor.
        """
        directory = f"/proc/{process.living_id(pid)}"
        shown = os.fsencode(os.readlink(f"{directory}/fd/{fd}"))
        if (found := _LABELLED.fullmatch(shown)) is not None:
            return found[1]
        if (found := _SOCKET.fullmatch(shown)) is not None:
            return peers.label(int(found[1]))
        if shown not in _DEVICES or not self._labels:
            return b""
        with open(f"{directory}/fdinfo/{fd}", "rb") as file:
            for lock in _LOCK.finditer(file.read()):
                number = int(lock[1]) - _MARKS >> _OF_LABEL
                if 0 <= number < len(self._labels):
                    return self._labels[number]
        return b""
