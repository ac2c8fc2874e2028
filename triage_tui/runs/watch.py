"""Tell when runs appear or change, by the operating system's own notifications (watchdog)."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from triage_tui.runs.ids import is_run_id

# The kernel is asked for changes only: with the default, each look at a thousand runs would fill its queue.
_KERNEL_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]

# Reading a file is not a change; without this filter every look at a run would announce it again.
_CHANGES = frozenset(["created", "modified", "moved", "deleted", "closed"])


class RunsWatcher:
    """Call `callback` with the ids of changed runs, from an own thread, every `quiet_s` seconds at most.

    Changes that come close together are told once. Use as a context manager, or `start` and `stop`.
    """

    def __init__(self, runs_dir: Path, callback: Callable[[set[str]], None], quiet_s: float = 0.1) -> None:
        self._runs_dir = runs_dir
        self._callback = callback
        self._quiet_s = quiet_s
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._observer = Observer()
        self._thread = threading.Thread(target=self._deliver, name="runs-watcher", daemon=True)

    def start(self) -> None:
        """Begin watching; the directory is made if it does not exist yet."""
        # A directory that is made and filled at once is found twice by watchdog, which is told at length on
        # standard error and means nothing.
        warnings.filterwarnings("ignore", "Callback with id .* already exists", RuntimeWarning)
        self._runs_dir.mkdir(parents=True, exist_ok=True)
        self._observer.schedule(
            _Handler(self), str(self._runs_dir), recursive=True, event_filter=_KERNEL_EVENTS
        )
        self._observer.start()
        self._thread.start()

    def stop(self) -> None:
        """End watching; no callback comes after this returns."""
        self._stopping = True
        self._wake.set()
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> RunsWatcher:
        """Start and return self."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.stop()

    def note(self, path: str) -> None:
        """Remember that something below `path` changed."""
        try:
            parts = Path(path).relative_to(self._runs_dir).parts
        except ValueError:
            return
        if parts and is_run_id(parts[0]):
            with self._lock:
                self._changed.add(parts[0])
            self._wake.set()

    def _deliver(self) -> None:
        pause = threading.Event()
        while not self._stopping:
            self._wake.wait()
            pause.wait(0 if self._stopping else self._quiet_s)
            with self._lock:
                changed, self._changed = self._changed, set()
                self._wake.clear()
            if changed and not self._stopping:
                self._callback(changed)


class _Handler(FileSystemEventHandler):
    def __init__(self, watcher: RunsWatcher) -> None:
        self._watcher = watcher

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _CHANGES:
            for path in (event.src_path, getattr(event, "dest_path", "")):
                if path:
                    self._watcher.note(
                        path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")
                    )
