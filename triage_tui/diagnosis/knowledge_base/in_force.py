"""The knowledge base that is in force in this process: read once, and again when its files changed.

Each diagnosis looks at the stamps of the files (a dozen calls of stat). An edit that cannot be used leaves in
force what was before, so that a person can save half a thought while a long-running app diagnoses.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from triage_tui.diagnosis.knowledge import MAX_FILES, KnowledgeBase, read_knowledge
from triage_tui.diagnosis.knowledge_base.mistakes import Mistake
from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.rule_places import user_directories
from triage_tui.text import number_of, safe_line

MOST_NEWS = 20
MOST_LEFT_OUT = 5
"""Mistakes that are told one by one."""

Stamp = tuple[tuple[str, int, int, int], ...]


def stamp(directories: Sequence[str]) -> Stamp:
    """Return what changes when a knowledge base file does: name, inode, time and size of each."""
    found: list[tuple[str, int, int, int]] = []
    for directory in (place for one in directories for place in (one, os.path.join(one, "templates"))):
        try:
            names = sorted(name for name in os.listdir(directory) if name.endswith(".yaml"))[: MAX_FILES + 1]
        except OSError:
            # Few have templates of their own.
            found += [(directory, 0, 0, -1)] if directory in directories else []
            continue
        for name in names:
            path = os.path.join(directory, name)
            try:
                status = os.stat(path)
            except OSError:
                found.append((path, 0, 0, -1))
            else:
                found.append((path, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def left_out(mistakes: Sequence[Mistake]) -> list[str]:
    """Return one sentence for each of the first mistakes, and one that counts the rest."""
    told = [f"left out of the knowledge base: {mistake.sentence()}" for mistake in mistakes[:MOST_LEFT_OUT]]
    if len(mistakes) > MOST_LEFT_OUT:
        more = number_of(len(mistakes) - MOST_LEFT_OUT, "more mistake is", "more mistakes are")
        told.append(f"{more} listed by `triage-tui kb lint`")
    return told


def switched_off(base: KnowledgeBase) -> list[str]:
    """Return one sentence for each file of a person's that switches shipped entries off."""
    names: dict[str, list[str]] = {}
    for entry in base.disabled:
        if not entry.shipped:
            names.setdefault(entry.file, []).append(entry.id)
    told = [f"switched off by {safe_line(file, 300)}: {_some(found)}" for file, found in names.items()]
    return told[:MOST_LEFT_OUT]


class KnowledgeInForce:
    """Keeps the last good knowledge base and what is to be told of it; for use in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base: KnowledgeBase | None = None
        self._directories: tuple[str, ...] = ()
        self._stamp: Stamp = ()
        self._news: deque[str] = deque(maxlen=MOST_NEWS)

    def current(self) -> KnowledgeBase:
        """Return the knowledge base, read again when a file changed since.

        The first time, entries of the user's with mistakes are left out. Later a change with a mistake
        changes nothing. Both is told by `news`.

        Raises:
            TriageError: the first time: a directory is not there, or what shipped has a mistake.
        """
        directories = user_directories()
        places = (str(shipped("rules")), *directories)
        with self._lock:
            seen = stamp(places)
            if self._base is not None and (directories, seen) == (self._directories, self._stamp):
                return self._base
            if self._base is None or directories != self._directories:
                self._base = self._read_first(directories)
            else:
                self._base = self._read_again(self._base, directories)
            self._directories, self._stamp = directories, seen
            return self._base

    def news(self) -> list[str]:
        """Return, once, one sentence for each thing that happened to the knowledge base."""
        with self._lock:
            told = list(self._news)
            self._news.clear()
        return told

    def _read_first(self, directories: Sequence[str]) -> KnowledgeBase:
        base = read_knowledge(map(Path, directories))
        ours = str(shipped("rules"))
        for mistake in base.mistakes:
            if os.path.dirname(mistake.file) == ours or mistake.file == ours:
                raise TriageError(mistake.sentence())
        self._news.extend(left_out(base.mistakes))
        return base

    def _read_again(self, before: KnowledgeBase, directories: Sequence[str]) -> KnowledgeBase:
        stays = "so the knowledge base of before stays in force"
        try:
            base = read_knowledge(map(Path, directories))
        except TriageError as error:
            self._news.append(f"{error}, {stays}")
            return before
        known = set(before.mistakes)
        fresh = [mistake for mistake in base.mistakes if mistake not in known]
        if fresh:
            more = f" (and {len(fresh) - 1} more)" if len(fresh) > 1 else ""
            self._news.append(f"{fresh[0].sentence()}{more}, {stays}")
            return before
        if base.sha256 != before.sha256:
            entries = number_of(len(base.entries), "entry", "entries")
            self._news.append(f"the knowledge base was read again: {entries}{_changes(before, base)}")
        return base


def _changes(before: KnowledgeBase, after: KnowledgeBase) -> str:
    """Return which entries are new, other or gone, in words; "" when it is none of them."""
    old = {entry.id: entry.digest for entry in before.entries}
    new = {entry.id: entry.digest for entry in after.entries}
    kinds = {
        "new": sorted(new.keys() - old.keys()),
        "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
        "gone": sorted(old.keys() - new.keys()),
    }
    told = [f"{_some(names)} {kind}" for kind, names in kinds.items() if names]
    return f" ({', '.join(told)})" if told else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


IN_FORCE = KnowledgeInForce()
"""The one of this process."""
