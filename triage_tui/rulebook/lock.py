"""One change of a target's rules at a time, between threads and between programs."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage_tui.errors import Conflict, TriageError
from triage_tui.text import safe_line

LOCK_NAME = ".lock"
PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.02


@contextmanager
def locked(directory: Path, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold flock(2) on `.lock` in `directory`; it ends with the process, so a crash leaves nothing locked.

    Raises:
        Conflict: somebody else held it for `patience` seconds.
        TriageError: the lock cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        handle = os.open(directory / LOCK_NAME, flags, 0o644)
    except OSError as error:
        shown = safe_line(str(directory))
        raise TriageError(f"nothing was changed: {shown} cannot be locked: {error.strerror}") from error
    try:
        wait_for(
            handle, "somebody else is changing the rules of this target: try again in a moment", patience
        )
        yield
    finally:
        os.close(handle)


def wait_for(handle: int, otherwise: str, patience: float = PATIENCE_SECONDS) -> None:
    """Take flock(2) on an open file or directory, which holds until that is closed.

    Raises:
        Conflict: somebody else held it for `patience` seconds; it says `otherwise`.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Conflict(otherwise) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return
