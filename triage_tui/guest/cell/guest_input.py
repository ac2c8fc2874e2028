"""A guest's standard input: what a person names, without handing over what it is on the host.

Whoever has a descriptor can do more than read it: go from a directory to its parents, open a FIFO once more
for writing, set the times of a device node. So a regular file is copied, and all else comes through a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import threading
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.host.sealed import sealed_copy
from triage_tui.guest.host.tree_memory import machine_memory

_MAX_INPUT = 1 << 30
_INPUT_SHARE = 4
"""A file that is the guest's input is copied into memory: so many bytes, and this part of the machine's."""
_BLOCK = 1 << 16


def open_input(stdin: Path) -> int:
    """Return a descriptor through which a guest can read what is at `stdin` and do nothing else to it.

    Raises:
        TriageError: it cannot be read, is a directory, or is too large to be copied.
    """
    try:
        fd = os.open(stdin, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                raise OSError(errno.EISDIR, "it is a directory, and the input must be something to read")
            if stat.S_ISREG(status.st_mode):
                return _copy(fd, stdin, status.st_size)
            reader, writer = os.pipe2(os.O_CLOEXEC)
            threading.Thread(target=_pump, args=(os.dup(fd), writer), daemon=True).start()
            return reader
        finally:
            os.close(fd)
    except OSError as error:
        raise TriageError(f"cannot read {stdin} as the guest's input: {error.strerror}") from error


def _copy(fd: int, stdin: Path, size: int) -> int:
    most = min(_MAX_INPUT, machine_memory() // _INPUT_SHARE)
    if size > most:
        why = f"it has {size >> 20} MiB, and the guest gets a copy in memory of at most "
        advice = f"{most >> 20} MiB: put it into the root file system, where the program can open it"
        raise OSError(errno.EFBIG, why + advice)
    return sealed_copy(fd, stdin.name)


def _pump(source: int, writer: int) -> None:
    """Write all that comes from `source` to a pipe, until one of them ends; closes both."""
    with contextlib.suppress(OSError), open(source, "rb", buffering=0) as file, open(writer, "wb", 0) as pipe:
        poll = select.poll()
        poll.register(file, select.POLLIN)
        # Nobody reads any more: the guest has closed it, or is gone.
        poll.register(pipe, 0)
        while True:
            for fd, events in poll.poll():
                if fd == writer and events & select.POLLERR:
                    return
            try:
                data = os.read(source, _BLOCK)
            except BlockingIOError:
                continue
            if not data:
                return
            while data:
                data = data[os.write(writer, data) :]
