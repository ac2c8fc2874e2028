"""`triage-tui watch`: print what happens to runs as it happens, for scripts and second terminals."""

from __future__ import annotations

import argparse
import contextlib
import queue
import time
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import msgspec

from triage_tui.cli.metrics_option import add_metrics_argument, metrics_of_workspace
from triage_tui.cli.output import print_json, say, summary_fields
from triage_tui.cli.streams import reader_is_gone
from triage_tui.errors import TriageError
from triage_tui.exit_codes import DONE, NO
from triage_tui.retry.following_sfemu import following
from triage_tui.retry.workspace import Workspace
from triage_tui.rule_places import user_directories
from triage_tui.runs.events import KINDS, Event, State, depends_on_processes, read_events
from triage_tui.runs.listing import RunSummary, run_dirs, summarize
from triage_tui.runs.watch import RunsWatcher
from triage_tui.text import safe_line

_LOOK_S = 1.0
"""How often is looked at what no file tells of: processes, readers, files of the knowledge base."""
_TAKING_IN_S = 10.0
"""How long the start takes in what SFEmu recorded before."""
WAITING, REMOVED = "waiting", "removed"

What = Literal["event", "appeared", "changed", "removed", "now"]
"""Of a line: an event of the run's log; the run is new; it is not the same without an event (the process that
held its guest is gone, or its files are others); it is gone; it was at the start as `--until` wants it."""


class Watched(msgspec.Struct, kw_only=True):
    """A line with `--json`, besides the fields of `list --json`, which say how the run is now."""

    what: What
    run_id: str
    dir: str
    state: str
    waiting: bool
    event: Event | None = None


def conditions() -> list[str]:
    """Return the words that `--until` takes."""
    return sorted({*get_args(State), *KINDS, WAITING, REMOVED})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "run", nargs="*", help="only these: run id, a unique ending of it, or `last` (default: every run)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--past", action="store_true", help="begin with the events that are recorded already")
    parser.add_argument(
        "--until",
        action="append",
        default=[],
        metavar="WORD,...",
        help="end with 0 as soon as a run is in one of these states, is `waiting` for a decision or"
        " `removed`, or has an event of this kind; a state counts at the start too. With several RUN: when"
        " all of them came to that",
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="end after this time; with 1 where --until is given"
    )
    parser.add_argument(
        "--count", type=int, default=0, metavar="N", help="end after N lines (default: never)"
    )
    add_metrics_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print what changes until it is time to end."""
    wanted = _wanted(args.until)
    if args.timeout is not None and not 0 < args.timeout < 1e9:
        raise TriageError(f"--timeout takes a number of seconds above 0, not {args.timeout:g}")
    workspace = Workspace.at(args.workspace)
    workspace.take_in(_TAKING_IN_S)
    chosen = {workspace.run_dir(name).name for name in args.run}
    changes: queue.SimpleQueue[set[str] | None] = queue.SimpleQueue()
    watcher = RunsWatcher(workspace.runs_dir, changes.put, lost=lambda: changes.put(None))
    with metrics_of_workspace(args.metrics, workspace.runs_dir), following(workspace.root), watcher:
        follower = _Follower(workspace, chosen, wanted, args)
        return follower.follow(watcher, changes)


def _wanted(until: Iterable[str]) -> frozenset[str]:
    words = frozenset(word for entry in until for word in entry.split(",") if word)
    known = conditions()
    for word in sorted(words):
        if word not in known:
            import difflib

            near = difflib.get_close_matches(word, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            raise TriageError(f"--until knows no {safe_line(word, 40)!r}; {hint}")
    if until and not words:
        raise TriageError(f"--until takes words, separated by commas: {', '.join(known)}")
    return words


class _Known:
    """What was told of a run."""

    def __init__(self) -> None:
        self.summary: RunSummary | None = None
        self.events = 0
        self.alive = False
        """Whether how it stands also depends on a process."""


class _Follower:
    """Tells of runs, and knows when that is enough."""

    def __init__(
        self, workspace: Workspace, chosen: set[str], wanted: frozenset[str], args: argparse.Namespace
    ) -> None:
        self._workspace = workspace
        self._runs_dir = workspace.runs_dir
        self._chosen = chosen
        self._wanted = wanted
        self._json: bool = args.json
        self._past: bool = args.past
        self._count: int = args.count
        self._until = time.monotonic() + args.timeout if args.timeout is not None else None
        self._known: dict[str, _Known] = {}
        self._met: set[str] = set()
        self._printed = 0

    def follow(self, watcher: RunsWatcher, changes: queue.SimpleQueue[set[str] | None]) -> int:
        """Print until a condition is met (0), or the time is over (1 where there is a condition)."""
        for run_id in self._everything():
            if not self._is_over():
                self._look(run_id, quiet=not self._past)
        # Not before: what happens from here on is told, and who waits for this line may act.
        say(f"watching {', '.join(sorted(self._chosen)) or self._runs_dir}; Ctrl-C ends")
        while not self._is_over():
            if reader_is_gone():
                return DONE
            _tell_of_knowledge()
            # What SFEmu records and says lies beside the runs that are watched.
            self._workspace.take_in(_LOOK_S)
            left = _LOOK_S if self._until is None else min(_LOOK_S, self._until - time.monotonic())
            if left <= 0:
                return self._give_up()
            try:
                changed = changes.get(timeout=left)
            except queue.Empty:
                # What is held by a process changes without a file; what the kernel does not watch, too.
                changed = None if watcher.incomplete else self._held()
            for run_id in self._everything() if changed is None else sorted(changed):
                if self._is_over():
                    break
                if not self._chosen or run_id in self._chosen:
                    self._look(run_id)
        return DONE

    def _everything(self) -> list[str]:
        """Return all runs that are there or were told of, the oldest first."""
        if self._chosen:
            return sorted(self._chosen)
        return sorted({path.name for path in run_dirs(self._runs_dir)} | set(self._known))

    def _held(self) -> set[str]:
        return {run_id for run_id, known in self._known.items() if known.alive}

    def _is_over(self) -> bool:
        if self._count and self._printed >= self._count:
            return True
        return bool(self._met) and (not self._chosen or self._met >= self._chosen)

    def _give_up(self) -> int:
        if not self._wanted:
            return DONE
        lacking = sorted(self._chosen - self._met)
        who = f"run {', '.join(lacking)} did not come to" if lacking else "no run came to"
        say(f"{who} {' or '.join(sorted(self._wanted))} in time")
        return NO

    def _look(self, run_id: str, quiet: bool = False) -> None:
        """Tell what is new of a run; `quiet` takes it as it is."""
        run_dir = self._runs_dir / run_id
        if not run_dir.is_dir():
            self._look_at_gone(run_id)
            return
        known = self._known.setdefault(run_id, _Known())
        events, _ = read_events(run_dir)
        summary = summarize(run_dir)
        new = events[known.events :] if len(events) >= known.events else events
        before, known.summary = known.summary, summary
        known.events = len(events)
        known.alive = summary.waiting or depends_on_processes(events)
        if not quiet:
            for line in _lines(before, summary, new):
                self._print(summary, *line)
                if self._is_over():
                    break
        kinds = {event.kind for event in new} if not quiet else set()
        stands = {summary.state, *([WAITING] if summary.waiting else [])}
        if self._wanted & (kinds | stands):
            self._met.add(run_id)
            if quiet:
                self._print(summary, "now", None)

    def _look_at_gone(self, run_id: str) -> None:
        known = self._known.pop(run_id, None)
        if known is None or known.summary is None:
            return
        self._print(known.summary, "removed", None)
        if REMOVED in self._wanted:
            self._met.add(run_id)
        elif run_id in self._chosen and run_id not in self._met and self._wanted:
            raise TriageError(f"run {run_id} was removed while it was watched")

    def _print(self, summary: RunSummary, what: What, event: Event | None) -> None:
        self._printed += 1
        gone = what == "removed"
        if self._json:
            told = {"state": REMOVED, "waiting": False} if gone else {}
            print_json({"what": what, **summary_fields(summary, self._runs_dir), **told, "event": event})
            return
        waiting = " (waiting for a decision)" if summary.waiting and not gone else ""
        happened = f"{event.kind.replace('_', ' ')} by {event.actor}" if event is not None else what
        state = "" if gone else f"  {summary.state.replace('_', ' ')}{waiting}"
        said = "" if gone else f"  {summary.headline or summary.name}"
        print(safe_line(f"{summary.run_id}  {happened}{state}{said}", 400), flush=True)


def _lines(
    before: RunSummary | None, now: RunSummary, events: list[Event]
) -> Iterator[tuple[What, Event | None]]:
    """Yield what is to be told of a run that was `before`."""
    if events:
        for event in events:
            yield "event", event
    elif before is None:
        yield "appeared", None
    elif (before.state, before.waiting, before.form) != (now.state, now.waiting, now.form):
        yield "changed", None


def _tell_of_knowledge() -> None:
    """Say what happened to the knowledge base, where a person has files of it."""
    if not user_directories():
        return
    from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE

    with contextlib.suppress(TriageError):
        IN_FORCE.current()
    for text in IN_FORCE.news():
        say(text)
