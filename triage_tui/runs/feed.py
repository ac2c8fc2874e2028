"""The runs of a directory as they come and go: listed once, then told as they change, from an own thread.

All looking is done by that one thread, one thing after the other, so that what is told last is what is so.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from triage_tui.errors import TriageError
from triage_tui.runs.catalog import Catalog, Seen
from triage_tui.runs.foreign import is_home
from triage_tui.runs.listing import RunSummary

if TYPE_CHECKING:
    from triage_tui.runs.look_ahead import LookAhead
    from triage_tui.runs.watch import RunsWatcher

LOOK_EVERY_S = 3.0
"""How often all runs are looked at when the kernel does not tell of all changes."""
BEGIN_AFTER_S = 0.15
"""How long the drawing of the list is left alone before watching begins."""
ONE_AT_A_TIME_S, MANY_AT_ONCE_S = 0.03, 0.3
"""For how long changes are collected before they are told; the second where runs of SFEmu are taken in."""
REST_S = 0.004
"""How long others may compute after each hundred runs that are looked at."""
FIRST_SAVE_AFTER_S = 0.2
SAVE_AFTER_S = 5.0
"""How long nothing must have happened before the index is written: for the first time, and later."""


class Listener(Protocol):
    """What is told, in the feed's thread."""

    def listed(self, runs: list[RunSummary]) -> None:
        """All runs, newest first."""

    def updated(self, runs: dict[str, RunSummary | None], files_changed: bool) -> None:
        """Some runs were read again; None stands for one that is gone.

        `files_changed` is False when only the holders of frozen guests were looked at again.
        """

    def trouble(self, sentence: str) -> None:
        """Something does not work."""


class _Wanted(NamedTuple):
    """What is to be looked at."""

    changed: frozenset[str] = frozenset()
    """Runs whose files may have changed."""
    asked: frozenset[str] = frozenset()
    """Runs whose processes may have ended."""
    everything: bool = False

    def and_also(self, other: _Wanted) -> _Wanted:
        """Return both at once."""
        return _Wanted(
            self.changed | other.changed, self.asked | other.asked, self.everything or other.everything
        )


class _Ended(Exception):
    """Nobody wants to know any more."""


class RunsFeed:
    """List and watch the runs of a directory until `stop`.

    Listing may `begin` before there is anybody to tell, and goes on as far as it takes next to nothing: what
    the index holds is there at once, and many runs that must be read wait for `start`.
    """

    def __init__(self, runs_dir: Path, index: Path | None = None, ahead: LookAhead | None = None) -> None:
        """`index` is a file to begin with and to keep the list in; `ahead` has begun to compare with it."""
        self._runs_dir = runs_dir
        self._listener: Listener
        self._started = threading.Event()
        self._first: list[RunSummary] | None = None
        """The list, when it is there and nobody has it yet."""
        self._telling = threading.Lock()
        self._catalog = Catalog(runs_dir, index)
        self._ahead = ahead
        self._wanted: queue.SimpleQueue[_Wanted] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="runs-feed", daemon=True)
        self._ended = threading.Event()
        self._closely = ""

    def begin(self) -> None:
        """Begin to list."""
        self._thread.start()

    def early(self) -> list[RunSummary] | None:
        """Return the list if it is there by now; then it is not told again."""
        with self._telling:
            first, self._first = self._first, None
        return first

    def start(self, listener: Listener) -> None:
        """Tell `listener`, and begin unless that was done."""
        self._listener = listener
        if self._thread.ident is None:
            self._thread.start()
        self._started.set()

    def stop(self) -> None:
        """End; nothing is told after this returns."""
        self._ended.set()
        self._started.set()
        self._wanted.put(_Wanted())
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def look_again(self, run_ids: Iterable[str], *, files_changed: bool = True) -> None:
        """Read some runs again and tell what they are now."""
        ids = frozenset(run_ids)
        self._wanted.put(_Wanted(changed=ids) if files_changed else _Wanted(asked=ids))

    def watch_closely(self, run_id: str) -> None:
        """Tell also of changes in the sub-directories of this run."""
        self._closely = run_id
        self._wanted.put(_Wanted())

    def _work(self) -> None:
        try:
            seen = self._seen_ahead(self._ahead) if self._ahead is not None else None
            self._first = self._catalog.read(seen, self._go_on)
            self._go_on()
            if (first := self.early()) is not None:
                self._listener.listed(first)
        except _Ended:
            return
        except TriageError as error:
            self._started.wait()
            if self._ended.is_set():
                return
            self._listener.listed([])
            self._listener.trouble(str(error))
        if self._ended.is_set():
            return
        from triage_tui.runs.watch import RunsWatcher  # after the list is shown

        # The list is being drawn now.
        self._ended.wait(BEGIN_AFTER_S)
        self._catalog.save()
        watcher = RunsWatcher(
            self._runs_dir,
            self.look_again,
            MANY_AT_ONCE_S if is_home(self._runs_dir.parent) else ONE_AT_A_TIME_S,
            lost=self._look_at_all,
            rest=lambda: self._ended.wait(REST_S),
        )
        watching = True
        try:
            watcher.start()
        except OSError as error:
            watching = False
            self._listener.trouble(
                f"New runs show late: this directory cannot be watched ({error.strerror or error})."
            )
        if watcher.incomplete:
            watching = False
            self._listener.trouble("Changes of old runs show late: the system allows too few watches.")
        # What happened between the listing and the watch would be missed otherwise.
        self._look_at_all()
        try:
            self._tell_changes(watcher, watching)
        except _Ended:
            return
        finally:
            watcher.stop()
            self._catalog.settle()
            self._catalog.save()

    def _seen_ahead(self, ahead: LookAhead) -> Seen | None:
        # An index that is worth another process takes this one for longer than the first frame may wait.
        self._started.wait()
        if self._ended.is_set():
            ahead.end()
            raise _Ended
        return ahead.take()

    def _go_on(self) -> None:
        self._started.wait()
        if self._ended.is_set():
            raise _Ended

    def _rest(self) -> None:
        if self._ended.wait(REST_S):
            raise _Ended

    def _look_at_all(self) -> None:
        self._wanted.put(_Wanted(everything=True))

    def _tell_changes(self, watcher: RunsWatcher, watching: bool) -> None:
        closely, rested = "", False
        save_after = FIRST_SAVE_AFTER_S
        while True:
            watching = watching and not watcher.incomplete
            rested = rested and not self._catalog.unsettled
            wait = LOOK_EVERY_S if not watching else None if rested else save_after
            try:
                wanted = self._wanted.get(timeout=wait)
            except queue.Empty:
                if found := self._catalog.settle():
                    self._listener.updated(found, True)
                self._catalog.save()
                rested, save_after = True, SAVE_AFTER_S
                wanted = _Wanted(everything=not watching)
            else:
                rested = False
            with suppress(queue.Empty):
                while True:
                    wanted = wanted.and_also(self._wanted.get_nowait())
            if self._ended.is_set():
                return
            if closely != self._closely:
                closely = self._closely
                watcher.watch_closely(closely)
            self._tell(wanted)

    def _tell(self, wanted: _Wanted) -> None:
        if wanted.everything:
            with suppress(TriageError):
                if found := self._catalog.refresh(self._rest):
                    self._listener.updated(found, True)
        for names, files_changed in ((wanted.changed, True), (wanted.asked - wanted.changed, False)):
            if names:
                self._listener.updated(self._catalog.look(names), files_changed)
