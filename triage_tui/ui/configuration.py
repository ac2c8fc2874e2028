"""All of the user's configuration (themes, keys, settings, knowledge), read again when a file changes.

Configuration often is a link into a repository, and the kernel tells of changes only where a file lies: so
the directories that the links lead to are watched too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from textual.theme import Theme

from triage_tui.errors import TriageError
from triage_tui.resources import config_dir
from triage_tui.rule_places import user_directories
from triage_tui.runs.files import real_path
from triage_tui.ui.keymap import KeyMap, load_keymap
from triage_tui.ui.settings import Settings, load_settings
from triage_tui.ui.theming import load_themes

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

REST_S = 0.25
"""How long files must have stayed as they are before they are read."""
EVERY_S = 0.5
"""How often files are looked at where the kernel does not tell of changes."""
_BEGIN_S = 0.5
MOST_FILES = 200

Stamp = tuple[tuple[str, int, int, int], ...]


class Configuration(msgspec.Struct):
    """What was read. None stands for a file that cannot be used: what held before goes on to hold."""

    begins: bool = False
    """Only the knowledge base was read, for the first time; no file changed."""
    themes: list[Theme] = msgspec.field(default_factory=list)
    keymap: KeyMap | None = None
    settings: Settings | None = None
    problems: list[str] = msgspec.field(default_factory=list)
    """One sentence for each thing that is wrong."""
    knowledge: list[str] = msgspec.field(default_factory=list)
    """One sentence for each thing that happened to the knowledge base."""
    knowledge_sha256: str = ""
    """Which knowledge base is in force, as diagnoses say it; "" where that was not looked at."""


def read_configuration(*, shipped_themes: bool = True) -> Configuration:
    """Read all of it; without `shipped_themes` only the themes of the user."""
    found = Configuration()
    found.themes, found.problems = load_themes(shipped_ones=shipped_themes)
    try:
        found.keymap, problems = load_keymap(config_dir())
        found.problems += problems
    except TriageError as error:
        found.problems.append(f"{error}, so the keys stay as they are")
    try:
        found.settings = load_settings(config_dir())
    except TriageError as error:
        found.problems.append(str(error))
    return found


def _files() -> list[Path]:
    directory = config_dir()
    paths = [directory / "keys.yaml", directory / "settings.yaml"]
    for place in (directory / "themes", *map(Path, user_directories())):
        with contextlib.suppress(OSError):
            paths += sorted(place.glob("*.yaml"))[:MOST_FILES]
    return paths


def _knowledge_news(found: Configuration) -> Configuration:
    """Read the knowledge base again where it changed, and add to `found` what there is to tell."""
    from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE

    with contextlib.suppress(TriageError):
        found.knowledge_sha256 = IN_FORCE.current().sha256
    found.knowledge = IN_FORCE.news()
    return found


def stamp() -> Stamp:
    """Return what changes when a configuration file does."""
    found: list[tuple[str, int, int, int]] = []
    for path in _files():
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def watched_directories() -> set[Path]:
    """Return the directories in which a change may be one of the configuration."""
    themes = config_dir() / "themes"
    # Where a directory is missing it is the one above that tells of its coming.
    above = next((place for place in (themes, *themes.parents) if place.is_dir()), Path("/"))
    directories = {
        real_path(above),
        *(real_path(Path(name)) for name in user_directories() if os.path.isdir(name)),
    }
    for path in _files():
        for place in (path, real_path(path)):
            if place.parent.is_dir():
                directories.add(real_path(place.parent))
    return directories


class ConfigurationWatch:
    """A thread that reads the configuration again when a file changed, and hands it to `changed`."""

    def __init__(self, changed: Callable[[Configuration], object]) -> None:
        self._changed = changed
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._last = stamp()
        self._observer: BaseObserver | None = None
        self._watched: set[Path] = set()
        self._thread = threading.Thread(target=self._watch, name="configuration", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the thread goes away by itself."""
        self._stop.set()
        self._woken.set()

    def _follow(self) -> bool:
        """Watch the directories of now; False where the kernel allows that no more."""
        try:
            from watchdog import events
            from watchdog.observers import Observer
        except ImportError:
            return False

        # A library's warnings on standard error would be drawn across the screen.
        log = logging.getLogger("watchdog")
        log.addHandler(logging.NullHandler())
        log.propagate = False
        wanted = watched_directories()
        if self._observer is not None and wanted == self._watched:
            return True
        handler = events.FileSystemEventHandler()
        handler.on_any_event = lambda event: self._woken.set()  # type: ignore[method-assign]
        self._release()
        observer = Observer()
        changes = [
            events.DirCreatedEvent,
            events.DirMovedEvent,
            events.FileCreatedEvent,
            events.FileDeletedEvent,
            events.FileModifiedEvent,
            events.FileMovedEvent,
        ]
        try:
            for directory in sorted(wanted):
                observer.schedule(handler, str(directory), event_filter=changes)
            observer.start()
        except OSError:
            return False
        self._observer, self._watched = observer, wanted
        return True

    def _release(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def _watch(self) -> None:
        # The first frame comes first: importing the watcher takes a good part of its time.
        self._stop.wait(_BEGIN_S)
        if user_directories():
            self._changed(_knowledge_news(Configuration(begins=True)))
        while not self._stop.is_set():
            told = self._follow()
            # Also what changed while nothing was watched yet is found by its stamp.
            self._take_changes()
            self._woken.wait(None if told else EVERY_S)
            self._woken.clear()
        self._release()

    def _take_changes(self) -> None:
        seen = stamp()
        while seen != self._last:
            # Only what two looks found alike: an editor may have emptied a file that it is about to write.
            if self._stop.wait(REST_S):
                return
            before, seen = seen, stamp()
            if seen == before:
                self._last = seen
                self._changed(_knowledge_news(read_configuration(shipped_themes=False)))
