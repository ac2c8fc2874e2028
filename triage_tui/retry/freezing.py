"""A person wants to look at a guest that runs: how the process that supervises it learns of that.

In the same process Ctrl-C sets a `FreezeSwitch`. From another one (the app, `triage-tui freeze`) a file asks:
each process that supervises a guest of a workspace has a file in `running/` while the guest runs, and whoever
puts a file `<name>.freeze` beside it gets the guest frozen and an intervention recorded.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.events import process_start, this_process
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.text import safe_line

_SUFFIX = ".json"
_WISH = ".freeze"


class RunningGuestMark(msgspec.Struct, kw_only=True):
    """What a supervising process says of itself."""

    pid: int
    start: int
    """Its start time, which tells it from a later process of the same number."""
    argv: list[str] = []
    since: float = 0.0
    """Unix time at which the guest began to run."""


class FreezeSwitch:
    """Whether the running guest is to be frozen. Safe to set in a signal handler.

    It can be set only while it is armed, that is while a guest runs that is held for a person afterwards.
    """

    def __init__(self) -> None:
        self._armed = False
        self._wanted = False
        self._wish: Path | None = None

    def set(self) -> bool:
        """Ask for the freeze; False when there is nothing to freeze, or it was asked for already."""
        if not self._armed or self._wanted:
            return False
        self._wanted = True
        return True

    def is_set(self) -> bool:
        """Tell whether somebody here or elsewhere wants the guest frozen."""
        return self._wanted or (self._wish is not None and self._wish.exists())

    @contextmanager
    def armed(self, directory: Path, argv: list[str]) -> Iterator[None]:
        """While the guest runs: can be set, and others can find it in `directory`."""
        me = this_process()
        mark = directory / f"{me['pid']}-{me['start']}{_SUFFIX}"
        self._wish = mark.with_suffix(_WISH)
        self._wanted = False
        entry = RunningGuestMark(pid=me["pid"], start=me["start"], argv=argv, since=time.time())
        # Who cannot write there cannot be asked from elsewhere; Ctrl-C still works.
        with contextlib.suppress(OSError):
            directory.mkdir(exist_ok=True)
            self._wish.unlink(missing_ok=True)
            # Arguments may hold any byte; ASCII JSON keeps those that are no UTF-8.
            write_atomic(mark, json.dumps(msgspec.to_builtins(entry)) + "\n")
        self._armed = True
        try:
            yield
        finally:
            self._armed = self._wanted = False
            for path in (mark, self._wish):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            self._wish = None


def running_guests(directory: Path) -> list[RunningGuestMark]:
    """Return the guests of a workspace that run now, the newest first; dead processes are left out."""
    found: list[RunningGuestMark] = []
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return found
    for name in names:
        if not name.endswith(_SUFFIX):
            continue
        with contextlib.suppress(ValueError, TypeError, RecursionError, OSError, TriageError):
            mark = msgspec.convert(json.loads(read_bounded(directory / name, 1 << 20)), RunningGuestMark)
            if name == f"{mark.pid}-{mark.start}{_SUFFIX}" and process_start(mark.pid) == mark.start:
                found.append(mark)
    return sorted(found, key=lambda mark: mark.since, reverse=True)


def ask_to_freeze(directory: Path, pid: int | None = None) -> str:
    """Ask the supervisor `pid` (None: the one that was started last) to freeze its guest.

    Returns one sentence that says what was asked.

    Raises:
        TriageError: no guest runs, or not that one.
    """
    guests = [mark for mark in running_guests(directory) if pid in (None, mark.pid)]
    if not guests:
        which = "no guest runs" if pid is None else f"process {pid} supervises no running guest"
        raise TriageError(f"{which} in this workspace, so nothing can be frozen")
    mark = guests[0]
    try:
        (directory / f"{mark.pid}-{mark.start}{_WISH}").touch()
    except OSError as error:
        raise TriageError(f"the guest cannot be frozen from here: {error.strerror}") from error
    return f"the guest {safe_line(' '.join(mark.argv), 80)} is frozen as soon as its supervisor sees it"
