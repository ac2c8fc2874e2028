"""All of the user's configuration (themes, keys, settings), read at the start and again when a file changes.

Files are looked at twice a second rather than watched: configuration often is a link into a repository, and
the kernel tells of changes only where the link lies.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from textual.theme import Theme

from triage_tui.errors import TriageError
from triage_tui.ui.keymap import KeyMap, load_keymap
from triage_tui.ui.settings import Settings, load_settings
from triage_tui.ui.theming import config_dir, load_themes

EVERY_S = 0.5
MOST_FILES = 200

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass
class Configuration:
    """What was read. None stands for a file that cannot be used: what held before goes on to hold."""

    themes: list[Theme] = field(default_factory=list)
    keymap: KeyMap | None = None
    settings: Settings | None = None
    problems: list[str] = field(default_factory=list)
    """One sentence for each thing that is wrong."""


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


def stamp() -> Stamp:
    """Return what changes when a configuration file does."""
    directory = config_dir()
    found: list[tuple[str, int, int, int]] = []
    paths = [directory / "keys.yaml", directory / "settings.yaml"]
    with contextlib.suppress(OSError):
        paths += sorted((directory / "themes").glob("*.yaml"))[:MOST_FILES]
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


class ConfigurationWatch:
    """A thread that reads the configuration again when a file changed, and hands it to `changed`."""

    def __init__(self, changed: Callable[[Configuration], object]) -> None:
        self._changed = changed
        self._stop = threading.Event()
        self._last = stamp()
        self._thread = threading.Thread(target=self._watch, name="configuration", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the thread goes away by itself."""
        self._stop.set()

    def _watch(self) -> None:
        seen = self._last
        while not self._stop.wait(EVERY_S):
            before, seen = seen, stamp()
            # Only what two looks found alike: an editor may have emptied a file that it is about to write.
            if seen != self._last and seen == before:
                self._last = seen
                self._changed(read_configuration(shipped_themes=False))
