"""All runs of a directory, known at once and looked at again cheaply: what the app's list is made from."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.foreign import foreign_places, foreign_runs
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.listing import RunSummary, read_summary
from triage_tui.runs.run_index import SETTLED_NS, Kept, Signature, load_index, same, save_index, sign

STAGING = ".tmp-"
"""Directories in which runs are written before they get their name."""
LEAST_KEPT = 50
"""Runs from which an index is worth its file."""
REST_EVERY = 100
"""Runs that are looked at without a rest."""
READING = 10
"""As how many runs that are looked at one counts that is read."""
MAX_RUNS = 200_000
"""Runs that are listed; a directory with more names the newest."""


_FORMS_OF_FOREIGN = ("sfemu", "writing", "unreadable")


class _Name(NamedTuple):
    """One name in a directory of runs."""

    kind: str
    """`directory`, `staging` (one that gets its name when it is complete), `misnamed`, `link`, `other`, or
    `foreign`: one of SFEmu's that was not taken in."""
    inode: int
    place: Path | None = None
    """The directory of runs that a foreign one lies in."""


class Catalog:
    """The runs of one directory. `index` is a file to begin with and to keep them in; None keeps nothing.

    Nothing here may be called by two threads at once.
    """

    def __init__(self, runs_dir: Path, index: Path | None = None) -> None:
        self._runs_dir = runs_dir
        self._index = index
        self._known: dict[str, Kept] = {}
        self._settled: set[str] = set()
        """Runs whose summary may be kept: it follows from files that have been the same for a while."""
        self.unsettled: set[str] = set()
        """Runs that would be kept had their files not changed just before they were read."""
        self.changed = False
        """Whether the index on the disk is behind."""

    def read(self, seen: Seen | None = None, rest: Callable[[], object] = lambda: None) -> list[RunSummary]:
        """Return all runs, newest first; a missing directory holds none.

        `seen` is what another process found when it compared them with the index just now. `rest` is called
        now and then; it may raise, to end this.

        Raises:
            TriageError: the directory cannot be listed.
        """
        if self._index is not None and not self._known:
            digest, kept = load_index(self._index, self._runs_dir)
            self._known, self._settled = dict(kept), set(kept)
            if seen is not None and seen.digest != digest:
                seen = None
        if seen is None or self._index is None or foreign_places(self._runs_dir):
            self.refresh(rest)
        else:
            self._drop(seen.gone)
            self.look(seen.names, rest)
        found = [kept.summary for _, kept in sorted(self._known.items(), reverse=True)]
        found.sort(key=lambda run: run.form == "misnamed")
        return found

    def refresh(self, rest: Callable[[], object] = lambda: None) -> dict[str, RunSummary | None]:
        """Look at all runs and return those whose summary is another one; None stands for one that is gone.

        `rest` is called now and then, for who wants to leave time to others; it may raise, to end this.

        Raises:
            TriageError: the directory cannot be listed.
        """
        try:
            handle = _opened(self._runs_dir)
        except FileNotFoundError:
            return self._drop(list(self._known))
        except OSError as error:
            raise TriageError(f"cannot list {self._runs_dir}: {error.strerror}") from error
        try:
            names = _names(handle, self._runs_dir)
            found = self._drop([name for name in self._known if name not in names])
            work = 0
            for name, entry in names.items():
                if work >= REST_EVERY:
                    work = 0
                    rest()
                work += 1
                known = self._known.get(name)
                if entry.kind == "foreign":
                    # Ten thousand of them would keep the list from being shown: each is read when it is taken
                    # in, or when somebody says that it cannot be.
                    if known is None or known.summary.form not in _FORMS_OF_FOREIGN:
                        summary = RunSummary(run_id=name, form="sfemu")
                        self._known[name] = Kept(b"", summary)
                        found[name] = summary
                        self._settled.discard(name)
                    continue
                if known is not None and name in self._settled and _is_same(handle, name, entry, known.stamp):
                    continue
                work += READING
                summary = self._read(handle, name, entry)
                if known is None or known.summary != summary:
                    found[name] = summary
        except OSError as error:
            raise TriageError(f"cannot list {self._runs_dir}: {error.strerror}") from error
        finally:
            os.close(handle)
        return found

    def look(
        self, names: Iterable[str], rest: Callable[[], object] = lambda: None
    ) -> dict[str, RunSummary | None]:
        """Read some runs again, whatever their files say; None stands for one that is gone.

        `rest` is as for `refresh`.
        """
        found: dict[str, RunSummary | None] = {}
        try:
            handle = _opened(self._runs_dir)
        except OSError:
            names = set(names)
            return self._drop([name for name in self._known if name in names])
        try:
            for number, name in enumerate(names):
                if number % (REST_EVERY // READING or 1) == 0 and number:
                    rest()
                entry = _name(handle, name) or _foreign_name(self._runs_dir, name)
                if entry is None:
                    self._drop([name])
                    found[name] = None
                else:
                    found[name] = self._read(handle, name, entry)
        finally:
            os.close(handle)
        return found

    def settle(self) -> dict[str, RunSummary | None]:
        """Read the runs again that were read too soon after they changed; return those that are other ones.

        By now their files may have been the same for long enough to be kept.
        """
        names = list(self.unsettled)
        before = {name: self._known[name].summary for name in names if name in self._known}
        return {name: run for name, run in self.look(names).items() if run != before.get(name)}

    def save(self) -> None:
        """Bring the index on the disk up to date, if there is one."""
        if self._index is not None and self.changed and len(self._settled) >= LEAST_KEPT:
            save_index(self._index, self._runs_dir, [self._known[name] for name in sorted(self._settled)])
            self.changed = False

    def _drop(self, names: list[str]) -> dict[str, RunSummary | None]:
        for name in names:
            self._known.pop(name, None)
            self.unsettled.discard(name)
            if name in self._settled:
                self._settled.discard(name)
                self.changed = True
        return dict.fromkeys(names)

    def _read(self, handle: int, name: str, entry: _Name) -> RunSummary:
        summary, stamp, lasting, settled = _misplaced(name, entry), b"", False, False
        if summary is None:
            began = time.time_ns()
            # Taken before the files are read: what changes meanwhile differs from it.
            signature = _signature(handle, name, entry)
            summary, lasting = read_summary((entry.place or self._runs_dir) / name)
            lasting = lasting and signature.readable
            settled = lasting and signature.changed_ns < began - SETTLED_NS
            stamp = signature.stamp
        self._known[name] = Kept(stamp, summary)
        if settled or name in self._settled:
            self.changed = True
        (self._settled.add if settled else self._settled.discard)(name)
        (self.unsettled.add if lasting and not settled else self.unsettled.discard)(name)
        return summary


class Seen(msgspec.Struct, array_like=True):
    """How the runs of a directory differ from its index."""

    digest: bytes
    """That of the index."""
    names: list[str]
    """The runs that are to be read: other ones than the index says, and those that it does not hold."""
    gone: list[str]
    """Runs that the index holds and that are not there."""


def compare_with_index(runs_dir: Path, index: Path) -> Seen:
    """Look at the files of all runs, and read none.

    Raises:
        OSError: the directory cannot be listed.
    """
    digest, kept = load_index(index, runs_dir)
    handle = os.open(runs_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = _names(handle, runs_dir)
        other = [
            name
            for name, entry in names.items()
            if (known := kept.get(name)) is None or not _is_same(handle, name, entry, known.stamp)
        ]
    finally:
        os.close(handle)
    return Seen(digest, other, [name for name in kept if name not in names])


def _opened(runs_dir: Path) -> int:
    """Open a directory of runs. Beside SFEmu's it is made: those are listed before one was taken in.

    Raises:
        OSError: it is not there, or cannot be listed.
    """
    if foreign_places(runs_dir):
        with contextlib.suppress(OSError):
            runs_dir.mkdir(exist_ok=True)
    return os.open(runs_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _signature(handle: int, name: str, entry: _Name) -> Signature:
    """Look at the files of a run, which lie below the open directory unless they are foreign."""
    if entry.place is None:
        return sign(handle, name, entry.inode)
    try:
        place = os.open(entry.place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return Signature(b"", 0, False)
    try:
        return sign(place, name, entry.inode)
    finally:
        os.close(place)


def _is_same(handle: int, name: str, entry: _Name, stamp: bytes) -> bool:
    return entry.kind == "directory" and same(handle, name, entry.inode, stamp)


def _foreign_names(runs_dir: Path, without: Collection[str]) -> dict[str, _Name]:
    """Return SFEmu's runs beside a directory of runs, but for those `without`."""
    found = {}
    for name, path in foreign_runs(runs_dir, without).items():
        with contextlib.suppress(OSError):
            found[name] = _Name("foreign", os.lstat(path).st_ino, path.parent)
    return found


def _foreign_name(runs_dir: Path, name: str) -> _Name | None:
    """Return SFEmu's run of one id, None where it has none."""
    for place in foreign_places(runs_dir) if is_run_id(name) else ():
        with contextlib.suppress(OSError):
            status = os.lstat(place / name)
            if stat.S_ISDIR(status.st_mode):
                return _Name("foreign", status.st_ino, place)
    return None


def _names(handle: int, runs_dir: Path) -> dict[str, _Name]:
    """Return what is in an open directory of runs, by the id under which it is listed."""
    found: dict[str, _Name] = {}
    staged: dict[str, _Name] = {}
    with os.scandir(handle) as entries:
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                if is_run_id(name):
                    found[name] = _Name("directory", entry.inode())
                elif name.startswith(STAGING) and is_run_id(name[len(STAGING) :]):
                    staged[name[len(STAGING) :]] = _Name("staging", entry.inode())
                elif not name.startswith("."):
                    found[name] = _Name("misnamed", entry.inode())
            elif entry.is_symlink():
                if not name.startswith("."):
                    found[name] = _Name("link", entry.inode())
            elif is_run_id(name):
                found[name] = _Name("other", entry.inode())
    found = {**_foreign_names(runs_dir, found), **staged, **found}
    if len(found) > MAX_RUNS:
        newest = sorted(found, key=lambda name: (is_run_id(name), name), reverse=True)[:MAX_RUNS]
        found = {name: found[name] for name in newest}
    return found


def _name(handle: int, name: str) -> _Name | None:
    """Return what is in an open directory of runs under one id, or None."""
    for path, kind in ((name, "directory"), (STAGING + name, "staging")):
        with contextlib.suppress(OSError, ValueError):
            status = os.stat(path, dir_fd=handle, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                return _Name("link", status.st_ino)
            if stat.S_ISDIR(status.st_mode):
                return _Name(kind if is_run_id(name) else "misnamed", status.st_ino)
            if is_run_id(name):
                return _Name("other", status.st_ino)
    return None


_SENTENCES = {
    "link": "a link to somewhere else, which is not followed",
    "other": "no directory, so it was not read",
    "misnamed": "its name is no run id (YYYYmmdd_HHMMSS_number), so it was not read",
}


def _misplaced(name: str, entry: _Name) -> RunSummary | None:
    """Return the summary of what is no run directory, or None for one that is to be read."""
    if entry.kind in ("directory", "foreign"):
        return None
    if entry.kind == "staging":
        return RunSummary(run_id=name, form="writing", problem="still being written")
    return RunSummary(run_id=name, form="misnamed", problem=_SENTENCES[entry.kind])
