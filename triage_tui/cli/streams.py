"""The command's own standard streams, which whoever started it may have closed, or stopped to read."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TextIO


def open_missing() -> None:
    """Open /dev/null in place of standard streams that are closed.

    What the command opens next would get their numbers, and be written to.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest number that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def narrate(text: str) -> None:
    """Print a line on standard error. That nobody can read it changes nothing of what is being done."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let what is written to a stream that takes nothing any more go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def reader_is_gone() -> bool:
    """Tell whether nobody can read standard output any more: who waits for news need not wait longer."""
    try:
        poll = select.poll()
        # Of a pipe that nobody has open for reading, poll(2) tells POLLERR, of a terminal that went, POLLHUP.
        poll.register(sys.stdout.fileno(), 0)
        return any(told & (select.POLLERR | select.POLLHUP) for _, told in poll.poll(0))
    except (OSError, ValueError, io.UnsupportedOperation):
        return False


def silence_broken() -> None:
    """Silence those of our streams whose reader went away: Python must not complain about them at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            silence(stream)
