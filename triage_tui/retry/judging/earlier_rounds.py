"""What all earlier rounds of a target that are in the workspace reached: that is not new any more."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook.evidence import Site, maps_of, site_of
from triage_tui.runs.call_signatures import BY_CHANCE, SLEEPS, signatures
from triage_tui.runs.listing import run_dirs, summarize
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import SNAPSHOT_FILE, TRACE_FILE

MAX_LISTED = 400
"""Runs of the workspace among which those of the target are looked for, the newest ones."""
MAX_READ = 64
"""Rounds of the target whose calls are read, the newest ones."""
MAX_BYTES = 128 << 20
"""What is read of their calls in all."""

_NO_PROGRESS = BY_CHANCE | SLEEPS | {"exit", "exit_group", "getpid", "gettid"}
"""Calls that say how a program ends or waits for time, not how far it got."""


class _Reached(NamedTuple):
    """What one round reached, as `Past` has it."""

    signatures: frozenset[str]
    sites: frozenset[str]
    unplaced: frozenset[str]


class Past(msgspec.Struct):
    """What earlier rounds reached."""

    path: set[str] = msgspec.field(default_factory=set)
    """Signatures of the run before, and of the rounds that led to it."""
    others: dict[str, str] = msgspec.field(default_factory=dict)
    """Signatures of the other rounds of the target, and the run that had them."""
    sites: set[str] = msgspec.field(default_factory=set)
    """Places in the code from which calls were made, "/bin/x+0x1a2c (openat)"."""
    unplaced: set[str] = msgspec.field(default_factory=set)
    """Names of calls of which some have no place on record: there another place may be none that is new."""
    rounds: int = 0
    """How many rounds that were."""

    def add(self, run: Run) -> None:
        """Take in what the run before reached."""
        self._take(run.run_id, _reached(run), led_here=True)

    def add_recorded(self, run_dir: Path, *, led_here: bool) -> None:
        """Take in what an earlier round reached, from its directory.

        Raises:
            TriageError: it cannot be read.
            OSError: it is gone.
        """
        stamps = tuple((run_dir / name).stat().st_mtime_ns for name in (TRACE_FILE, SNAPSHOT_FILE))
        self._take(run_dir.name, _reached_in(run_dir, stamps), led_here=led_here)

    def _take(self, run_id: str, reached: _Reached, *, led_here: bool) -> None:
        self.rounds += 1
        if led_here:
            self.path |= reached.signatures
        else:
            for text in reached.signatures:
                self.others.setdefault(text, run_id)
        self.sites |= reached.sites
        self.unplaced |= reached.unplaced

    def new_sites(self, run: Run, start: int = 0) -> dict[str, int]:
        """Return the places of a run that no earlier round had, and the first call of each."""
        found = call_sites(run, start)
        first = set(found.values())
        names = {call.seq: call.name for call in run.trace() if call.seq in first}
        return {
            text: seq
            for text, seq in found.items()
            if text not in self.sites and names[seq] not in self.unplaced
        }


def counts(call: Syscall) -> bool:
    """Tell whether a call can count as ground: no rule helped with it, unless to run a real program."""
    started = call.name in ("execve", "execveat") and not call.errno and not call.intercepted
    return call.name not in _NO_PROGRESS and (call.rule is None or started)


def is_placed(run: Run, call: Syscall) -> bool:
    """Tell whether a record says from where a call was made, as far as that can be told for a process."""
    return (call.pc is not None or call.return_address is not None) and bool(maps_of(run.snapshot, call))


def call_sites(run: Run, start: int = 0) -> dict[str, int]:
    """Return the places in the code that made the calls of a run from `start` on, and the first call of each.

    Only calls count whose place is on record, that no rule helped with, and that say how far the program got.
    A place is the module and the offset in its file, so that it is the same wherever the module was loaded.
    """
    known: dict[tuple[int, int | None, int | None], Site | None] = {}
    found: dict[str, int] = {}
    for call in run.trace():
        if call.seq < start or (call.pc is None and call.return_address is None) or not counts(call):
            continue
        key = call.pid, call.pc, call.return_address
        if key not in known:
            known[key] = site_of(call, maps_of(run.snapshot, call))
        if (site := known[key]) is not None:
            found.setdefault(f"{site} ({call.name})", call.seq)
    return found


def past_of(runs_dir: Path, before: Run, after: Run | None = None) -> Past:
    """Return what `before` and the other rounds of its target reached that are older than `after`.

    Without `after` all of them count. A round that cannot be read is left out. Of very many, or very long
    ones, the newest count.
    """
    past = Past()
    past.add(before)
    left = MAX_BYTES
    for path, led_here in _rounds(runs_dir, before, after):
        with contextlib.suppress(TriageError, OSError):
            left -= (path / TRACE_FILE).stat().st_size
            if left < 0:
                break
            past.add_recorded(path, led_here=led_here)
    return past


def _reached(run: Run) -> _Reached:
    counting = [call for call in run.trace() if counts(call)]
    return _Reached(
        frozenset(signatures(counting)),
        frozenset(call_sites(run)),
        frozenset(call.name for call in counting if not is_placed(run, call)),
    )


@functools.lru_cache(MAX_READ)
def _reached_in(run_dir: Path, _stamps: tuple[int, ...]) -> _Reached:
    """Return what a recorded round reached; one that did not change since is not read again in each round."""
    return _reached(load_run(run_dir))


def _rounds(runs_dir: Path, before: Run, after: Run | None) -> Iterator[tuple[Path, bool]]:
    """Yield the other earlier rounds of the target, newest first, and whether they led to `before`."""
    target = before.snapshot.target.target_id
    if not target:
        return
    found: dict[str, Path] = {}
    parents: dict[str, str | None] = {before.run_id: before.snapshot.parent_run}
    for path in _listed(runs_dir):
        summary = summarize(path)
        if summary.target_id == target:
            found[path.name] = path
            parents[path.name] = summary.parent_run
    left_out = {before.run_id, after.run_id if after is not None else ""}
    ancestors = _ancestors(before.run_id, parents)
    chosen = [name for name in found if name not in left_out and (after is None or name < after.run_id)]
    for name in chosen[:MAX_READ]:
        yield found[name], name in ancestors


def _listed(runs_dir: Path) -> Iterable[Path]:
    try:
        return run_dirs(runs_dir)[:MAX_LISTED]
    except TriageError:
        return ()


def _ancestors(name: str, parents: dict[str, str | None]) -> set[str]:
    """Return the runs that a round goes back to; records are hostile, so none is visited twice."""
    seen: set[str] = set()
    while (parent := parents.get(name)) is not None and parent not in seen:
        seen.add(parent)
        name = parent
    return seen
