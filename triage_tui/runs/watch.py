"""Tell when runs appear or change, by the kernel's own notifications (inotify(7))."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

from inotify_simple import Event, INotify, flags

from triage_tui.runs.ids import is_run_id

STAGING = ".tmp-"
"""Directories in which runs are written before they get their name."""

# Reading is no change: with more than these, each look at a thousand runs would fill the kernel's queue.
_CHANGES = flags.MODIFY | flags.ATTRIB | flags.MOVED_FROM | flags.MOVED_TO | flags.CREATE | flags.DELETE
_DIRECTORY = flags.ONLYDIR | flags.DONT_FOLLOW | flags.EXCL_UNLINK
REST_EVERY = 200
"""Watches that are made without a rest."""
_FULL = frozenset([errno.ENOSPC, errno.ENOMEM, errno.EMFILE])


class RunsWatcher:
    """Call `callback` with the ids of changed runs, from an own thread, every `quiet_s` seconds at most.

    Changes that come close together are told once. `lost` is called when changes may have been missed, so
    that everything must be looked at again, and `rest` now and then while watches are made. The directory of
    runs and each run directory are watched, and of the runs that were passed to `watch_closely` their
    sub-directories too. Use as a context manager, or `start` and `stop`.
    """

    def __init__(
        self,
        runs_dir: Path,
        callback: Callable[[set[str]], None],
        quiet_s: float = 0.03,
        lost: Callable[[], None] = lambda: None,
        rest: Callable[[], object] = lambda: None,
    ) -> None:
        self._runs_dir = runs_dir
        self._callback = callback
        self._lost = lost
        self._rest = rest
        self._quiet_s = quiet_s
        self._names: dict[int, str] = {}
        """Watch descriptor to the run that it watches; the directory of runs has the empty name."""
        self._lock = threading.Lock()
        self._inotify: INotify | None = None
        self._stop_read, self._stop_write = -1, -1
        self._thread = threading.Thread(target=self._deliver, name="runs-watcher", daemon=True)
        self.incomplete = False
        """Whether not everything is watched: the kernel allows too few watches, or the directory went."""

    def start(self) -> None:
        """Begin watching; the directory is made if it does not exist yet.

        Raises:
            OSError: it cannot be watched.
        """
        self._runs_dir.mkdir(parents=True, exist_ok=True)
        self._inotify = INotify(nonblocking=True)
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        try:
            self._watch_all()
        except OSError:
            self._close()
            raise
        self._thread.start()

    def stop(self) -> None:
        """End watching; no callback comes after this returns."""
        if self._inotify is None:
            return
        os.write(self._stop_write, b"!")
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        self._close()

    def __enter__(self) -> RunsWatcher:
        """Start and return self."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.stop()

    def watch_closely(self, run_id: str) -> None:
        """Watch the sub-directories of a run too: its logs, memory and rules."""
        with contextlib.suppress(OSError):
            for place, names, _ in os.walk(self._runs_dir / run_id):
                for name in names:
                    self._watch(os.path.join(place, name), run_id)

    def _close(self) -> None:
        inotify, self._inotify = self._inotify, None
        if inotify is not None:
            inotify.close()
            os.close(self._stop_read)
            os.close(self._stop_write)

    def _watch_all(self) -> None:
        assert self._inotify is not None
        # Self moves and deletions of the directory of runs leave nothing to watch: told as loss.
        own = self._inotify.add_watch(
            self._runs_dir, _CHANGES | flags.ONLYDIR | flags.DELETE_SELF | flags.MOVE_SELF
        )
        self._names[own] = ""
        with os.scandir(self._runs_dir) as entries:
            found = [e.name for e in entries if _run_of(e.name) and e.is_dir(follow_symlinks=False)]
        # The newest first: where the kernel allows fewer watches, those are the ones that change.
        for number, name in enumerate(sorted(found, reverse=True)):
            if number % REST_EVERY == REST_EVERY - 1:
                self._rest()
            if not self._watch(str(self._runs_dir / name), _run_of(name)):
                break

    def _watch(self, path: str, run_id: str) -> bool:
        """Watch one directory; False when the kernel allows no more."""
        inotify = self._inotify
        if inotify is None:
            return False
        try:
            watch = inotify.add_watch(path, _CHANGES | _DIRECTORY)
        except OSError as error:
            self.incomplete = self.incomplete or error.errno in _FULL
            return error.errno not in _FULL
        with self._lock:
            self._names[watch] = run_id
        return True

    def _deliver(self) -> None:
        inotify = self._inotify
        assert inotify is not None
        pause = threading.Event()
        while True:
            ready, _, _ = select.select([inotify, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            pause.wait(self._quiet_s)
            changed: set[str] = set()
            lost = False
            for event in inotify.read(timeout=0):
                lost = self._take(event, changed) or lost
            if lost:
                self._lost()
            if changed:
                self._callback(changed)

    def _take(self, event: Event, changed: set[str]) -> bool:
        """Add what an event tells of; True when more may have happened than is told."""
        if event.mask & flags.Q_OVERFLOW:
            return True
        with self._lock:
            name = self._names.get(event.wd)
            if event.mask & flags.IGNORED:
                self._names.pop(event.wd, None)
                # The directory of runs itself is gone; another one of its name is not watched.
                self.incomplete = self.incomplete or name == ""
                return name == ""
        if name is None:
            return False
        if name:
            changed.add(name)
            return False
        if event.mask & (flags.DELETE_SELF | flags.MOVE_SELF):
            # Another directory may take its name, and is not watched.
            self.incomplete = True
            return True
        if not event.name:
            return False
        changed.add(_run_of(event.name) or event.name)
        if event.mask & flags.ISDIR and event.mask & (flags.CREATE | flags.MOVED_TO) and _run_of(event.name):
            self._watch(str(self._runs_dir / event.name), _run_of(event.name))
        return False


def _run_of(name: str) -> str:
    """Return the run that a directory of the name belongs to, "" for none."""
    run_id = name.removeprefix(STAGING)
    return run_id if is_run_id(run_id) else ""
