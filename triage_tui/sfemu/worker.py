"""A process that takes in what SFEmu records while the app is open: `python -m triage_tui.sfemu.worker`.

It is another process because a thousand diagnoses would hold up every key of the app. It tells each run that
it looked at on its standard output, one name a line, and ends when nobody listens any more.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from inotify_simple import INotify, flags

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.runs.foreign import foreign_places, is_being_written
from triage_tui.runs.form import MAX_SNAPSHOT_BYTES, SNAPSHOT_FILE
from triage_tui.sfemu.adopting import adopt, stamp_of
from triage_tui.sfemu.deciding import take_note
from triage_tui.sfemu.following import rules_of_home, wanted

LOOK_EVERY_S = 2.0
"""How often everything is looked at without a word of the kernel's: files of a run grow deep below it."""
QUIET_S = 0.1
"""How long what happens together may take."""
_NICE = 10
_NEWS = flags.CREATE | flags.MOVED_TO | flags.DELETE | flags.CLOSE_WRITE | flags.ONLYDIR | flags.DONT_FOLLOW
_NEWEST = 4
"""Runs that are looked at while older ones are taken in."""
WAITING = "waiting"
"""Directory of our workspace in which a stopped program says that it waits."""


class Worker:
    """Takes in the runs beside one workspace."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._rules = rules_of_home(home)
        self._unreadable: dict[str, str] = {}
        """Run -> its stamp when it could not be read."""
        self._inotify = INotify()
        self._newest: list[Path] = []
        self._watched: dict[int, Path] = {}

    def run(self) -> None:
        """Take in all there is, newest first, then what appears, until nobody listens."""
        while True:
            self._watch()
            while not self._pass():
                take_note(self._home)
            take_note(self._home)
            while not self._news(int(LOOK_EVERY_S * 1000)):
                if os.getppid() == 1:
                    return
                if self._watch():
                    break
                # What SFEmu still writes lies deep below its newest runs.
                for source in self._newest:
                    self._take(source)
                take_note(self._home)
            time.sleep(QUIET_S)
            self._news(0)

    def _watch(self) -> bool:
        """Watch what there is, and tell whether some is new: SFEmu makes directories at its first stop."""
        before = len(self._watched)
        for place in (*foreign_places(self._home / "ai_runs"), self._home / WAITING):
            if place not in self._watched.values():
                with contextlib.suppress(OSError):
                    self._watched[self._inotify.add_watch(place, _NEWS)] = place
        return len(self._watched) > before

    def _news(self, milliseconds: int) -> bool:
        """Wait for word of the kernel's; one that was removed is watched again once it is made again."""
        events = self._inotify.read(timeout=milliseconds)
        for event in events:
            if event.mask & flags.IGNORED:
                self._watched.pop(event.wd, None)
        return bool(events)

    def _pass(self) -> bool:
        """Take in what there is, newest first; False when something new came, which is to come first."""
        self._newest = []
        for number, source in enumerate(wanted(self._home)):
            if number < _NEWEST:
                self._newest.append(source)
            if number >= _NEWEST and self._news(0):
                return False
            self._take(source)
        return True

    def _take(self, source: Path) -> None:
        stamp = stamp_of(self._rules, source)
        if self._unreadable.get(source.name) == stamp:
            return
        own = self._home / "ai_runs" / source.name
        before = _changed(own)
        try:
            adopt(self._rules, source)
        except TriageError:
            # One that is being written is looked at again until it is whole, or clearly never will be.
            self._unreadable[source.name] = "" if _is_half(source) else stamp
        else:
            if _changed(own) == before:
                return
        print(source.name, flush=True)


def _is_half(source: Path) -> bool:
    try:
        raw = read_bounded(source / SNAPSHOT_FILE, MAX_SNAPSHOT_BYTES, whole=True)
    except TriageError:
        return False
    return is_being_written(source / SNAPSHOT_FILE, raw)


def _changed(run_dir: Path) -> int:
    try:
        return (run_dir / "sfemu.json").stat().st_mtime_ns
    except OSError:
        return 0


def main(home: str) -> int:
    """Run until nobody listens; the exit code."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    try:
        Worker(Path(home)).run()
    except (BrokenPipeError, KeyboardInterrupt):
        pass
    except TriageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
