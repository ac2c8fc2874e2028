"""A person wants to look at a running guest, or to end it: how the process that supervises it learns of that.

In the same process Ctrl-C sets a `FreezeSwitch`. From another one (the app, `triage-tui freeze`) a file asks:
each process that supervises a guest of a workspace has a file in `running/` while the guest runs. Whoever
puts a file `<name>.freeze` beside it gets the guest frozen and an intervention recorded; `<name>.end` has it
recorded and ended. No process is signalled: what a workspace says of pids may come from anybody.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.events import process_start, this_process
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.text import safe_line

_SUFFIX = ".json"
_FREEZE = ".freeze"
_END = ".end"


class RunningGuestMark(msgspec.Struct, kw_only=True):
    """What a supervising process says of itself."""

    pid: int
    start: int
    """Its start time, which tells it from a later process of the same number."""
    argv: list[str] = []
    since: float = 0.0
    """Unix time at which the guest began to run."""
    freezes: bool = True
    """Whether it holds the guest for a person, once it is frozen."""
    retries: str = ""
    """The run that it retries."""


class FreezeSwitch:
    """Whether the running guest is to be frozen. Safe to set in a signal handler.

    It can be set only while it is armed, that is while a guest runs that is held for a person afterwards.
    """

    def __init__(self) -> None:
        self._armed = False
        self._wanted = False
        self._mark: Path | None = None
        self._end: Callable[[], None] = lambda: None

    def set(self) -> bool:
        """Ask for the freeze; False when there is nothing to freeze, or it was asked for already."""
        if not self._armed or self._wanted:
            return False
        self._wanted = True
        return True

    def is_set(self) -> bool:
        """Tell whether somebody here or elsewhere wants the guest frozen; asked a few times a second."""
        if self._asked(_END):
            self._end()
            return False
        return self._wanted or (self._armed and self._asked(_FREEZE))

    def _asked(self, wish: str) -> bool:
        return self._mark is not None and self._mark.with_suffix(wish).exists()

    @contextmanager
    def armed(
        self,
        directory: Path,
        argv: list[str],
        *,
        freezes: bool = True,
        retries: str = "",
        end: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """While the guest runs: others can find it in `directory`, and with `freezes` it can be set.

        `retries` names the run that is retried; `end` is called when somebody wants the guest ended.
        """
        me = this_process()
        mark = self._mark = directory / f"{me['pid']}-{me['start']}{_SUFFIX}"
        self._wanted, self._end = False, end
        entry = RunningGuestMark(
            pid=me["pid"],
            start=me["start"],
            argv=argv,
            since=time.time(),
            freezes=freezes,
            retries=retries,
        )
        wishes = [mark.with_suffix(_FREEZE), mark.with_suffix(_END)]
        # Who cannot write there cannot be asked from elsewhere; Ctrl-C still works.
        with contextlib.suppress(OSError):
            directory.mkdir(exist_ok=True)
            for wish in wishes:
                wish.unlink(missing_ok=True)
            # Arguments may hold any byte; ASCII JSON keeps those that are no UTF-8.
            write_atomic(mark, json.dumps(msgspec.to_builtins(entry)) + "\n")
        self._armed = freezes
        try:
            yield
        finally:
            self._armed = self._wanted = False
            with contextlib.suppress(OSError):
                mark.unlink(missing_ok=True)
            # It may have been asked for in the moment in which the guest was frozen by itself.
            if self._asked(_END):
                end()
            for wish in wishes:
                with contextlib.suppress(OSError):
                    wish.unlink(missing_ok=True)
            self._mark = None


def running_guests(directory: Path) -> list[RunningGuestMark]:
    """Return the guests of a workspace that run now, the newest first; dead processes are left out."""
    living = [mark for mark, _ in _marks(directory) if process_start(mark.pid) == mark.start]
    return sorted(living, key=lambda mark: mark.since, reverse=True)


def dead_supervisors(directory: Path) -> list[RunningGuestMark]:
    """Return what supervisors said of themselves that were killed while their guest ran, and remove it."""
    dead = []
    for mark, path in _marks(directory):
        if process_start(mark.pid) != mark.start:
            dead.append(mark)
            for left in (path, path.with_suffix(_FREEZE), path.with_suffix(_END)):
                with contextlib.suppress(OSError):
                    left.unlink(missing_ok=True)
    return dead


def _marks(directory: Path) -> Iterator[tuple[RunningGuestMark, Path]]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        if not name.endswith(_SUFFIX):
            continue
        with contextlib.suppress(ValueError, TypeError, RecursionError, OSError, TriageError):
            mark = msgspec.convert(json.loads(read_bounded(directory / name, 1 << 20)), RunningGuestMark)
            if name == f"{mark.pid}-{mark.start}{_SUFFIX}":
                yield mark, directory / name


def ask_to_freeze(directory: Path, pid: int | None = None) -> str:
    """Ask the supervisor `pid` (None: the one that was started last) to freeze its guest.

    Returns one sentence that says what was asked.

    Raises:
        TriageError: no guest runs, or not that one.
    """
    guests = [mark for mark in running_guests(directory) if mark.freezes and pid in (None, mark.pid)]
    if not guests:
        which = "no guest runs" if pid is None else f"process {pid} supervises no running guest"
        raise TriageError(f"{which} in this workspace, so nothing can be frozen")
    mark = guests[0]
    _ask(directory, mark, _FREEZE, "frozen")
    return f"the guest {safe_line(' '.join(mark.argv), 80)} is frozen as soon as its supervisor sees it"


def ask_to_end(directory: Path, run_id: str) -> str:
    """Ask the supervisor of the guest that retries a run to record and end it.

    Returns one sentence that says what was asked.

    Raises:
        TriageError: no guest runs that retries it.
    """
    mark = next((mark for mark in running_guests(directory) if mark.retries == run_id), None)
    if mark is None:
        raise TriageError(
            f"no program runs in the retry of run {safe_line(run_id, 60)} at this moment, so none was ended"
        )
    _ask(directory, mark, _END, "ended")
    return f"the guest {safe_line(' '.join(mark.argv), 80)} is recorded as it is, and ended"


def _ask(directory: Path, mark: RunningGuestMark, wish: str, what: str) -> None:
    try:
        (directory / f"{mark.pid}-{mark.start}{wish}").touch()
    except OSError as error:
        raise TriageError(f"the guest cannot be {what} from here: {error.strerror}") from error
