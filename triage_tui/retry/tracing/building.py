"""Collect the steps of a trace: number them, resolve their evidence, note what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from triage_tui.errors import TriageError
from triage_tui.retry.tracing.model import Kind, Phase, Reference, TraceStep
from triage_tui.rulebook import generations
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.log import Entry
from triage_tui.rulebook.manifest import Generation
from triage_tui.rulebook.places import target_directory
from triage_tui.rulebook.rulefile import parse
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.events import Event, event_digests
from triage_tui.runs.evidence import Link, digest, parse_link, resolve
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.reader import Run, load_run
from triage_tui.text import number_of, safe_line

MAX_STEPS = 2000
MAX_RUNS = 256
"""Runs that one trace reads."""
MAX_LACKING = 50
_MAX_PROBLEMS = 5
"""Of one record."""
_PHASES: Mapping[Kind, Phase] = {
    **dict.fromkeys(
        ("stop", "checkpoint", "evidence", "hypothesis", "proposal", "experiment", "trial"), "plan"
    ),
    **dict.fromkeys(("decision", "rule", "retry", "end"), "execution"),
    **dict.fromkeys(("verdict", "acted", "round", "recurrence"), "verification"),
}
assert _PHASES.keys() == set(get_args(Kind))


class Building:
    """The steps of a trace so far, and the records that they are made from."""

    def __init__(self, runs_dir: Path, rulebook: Path) -> None:
        self.runs_dir = runs_dir
        self.rulebook = rulebook
        self.steps: list[TraceStep] = []
        self.lacking: list[str] = []
        self.runs: dict[str, Run | None] = {}
        self._left_out = 0
        self._generations: dict[str, dict[int, Generation]] = {}
        self.audit: list[Entry] = self._read_audit()
        self._sources = {entry.source: entry.number for entry in self.audit if entry.source}
        self._changes = {entry.change: entry.number for entry in self.audit if entry.change}

    def add(self, kind: Kind, run: str, says: str, **fields: Any) -> int:
        """Append a step and return its number; 0, which nothing refers to, where there are too many."""
        if len(self.steps) >= MAX_STEPS:
            self._left_out += 1
            return 0
        because = sorted({number for number in fields.pop("because", ()) if number})
        number = len(self.steps) + 1
        phase = fields.pop("phase", _PHASES[kind])
        self.steps.append(
            TraceStep(number=number, phase=phase, kind=kind, run=run, says=says, because=because, **fields)
        )
        return number

    def lack(self, text: str) -> None:
        """Note that something is missing, once."""
        if text not in self.lacking and len(self.lacking) < MAX_LACKING:
            self.lacking.append(text)

    def finish(self) -> None:
        """Note what is known only at the end."""
        for name, run in self.runs.items():
            # Calls are read when evidence points to them, and what is wrong with them is found then.
            for problem in run.problems[:_MAX_PROBLEMS] if run is not None else ():
                self.lack(f"run {name}: {problem}")
        if self._left_out:
            del self.lacking[MAX_LACKING - 1 :]
            self.lack(
                f"{number_of(self._left_out, 'further step')} left out: a trace has {MAX_STEPS} at most"
            )

    def run(self, name: str) -> Run | None:
        """Return a run, None where it is gone or unreadable, which is noted."""
        if name not in self.runs and len(self.runs) >= MAX_RUNS:
            self.lack(f"further runs were not read: a trace reads {MAX_RUNS} at most")
            return None
        if name not in self.runs:
            self.runs[name] = None
            if not is_run_id(name):
                self.lack(f"{safe_line(name, 60)!r} is no run")
            elif not (self.runs_dir / name).is_dir():
                self.lack(f"run {name} is not here any more")
            else:
                try:
                    self.runs[name] = load_run(self.runs_dir / name)
                except TriageError as error:
                    self.lack(str(error))
        return self.runs[name]

    def cited(self, run: Run, link: str, says: str = "") -> Reference:
        """Return a reference to evidence, with whether it holds; what does not is noted."""
        found = resolve(run, link)
        if not found.stands:
            shown = safe_line(link, 120)
            why = "is another than it was" if found.exists else "is not there"
            self.lack(f"run {run.run_id}: what {shown} points to {why}")
        elif found.left_out:
            self.lack(
                f"run {run.run_id}: what {safe_line(link, 120)} points to was left out: {found.left_out}"
            )
        return Reference(run=run.run_id, link=link, says=says or found.text[:400], holds=found.stands)

    def of_event(self, run: Run, event: Event) -> list[Reference]:
        """Return a reference to a line of the event log of a run."""
        if self._left_out:
            return []
        # Not looked up: of thousands of events that would take long, and this one is at hand.
        link = str(Link(kind="event", id=str(event.event_id), hash=digest(encode_line(event).decode())))
        return [Reference(run=run.run_id, link=link, says=f"{event.kind.replace('_', ' ')} by {event.actor}")]

    def audit_lines(self, run: Run) -> dict[int, int]:
        """Return the lines of the audit log that tell of events of a run, by the numbers of these."""
        found: dict[int, int] = {}
        for source, event in event_digests(run.dir).items():
            # What moves a generation is announced in the audit log before the run tells of it.
            change = event.payload.get("change")
            line = self._sources.get(source) or (
                self._changes.get(change)
                if isinstance(change, str) and event.kind in ("activated", "rolled_back")
                else None
            )
            if line is not None:
                found[event.event_id] = line
        return found

    def generation(self, target_id: str, number: int) -> Generation | None:
        """Return a generation of the rules of a target, None where it is gone, which is noted."""
        target = target_directory(self.rulebook, target_id)
        if target_id not in self._generations:
            self._generations[target_id] = {one.number: one for one in generations.history(target)}
            for one in self._generations[target_id].values():
                for problem in generations.verify(one)[:3]:
                    self.lack(problem)
        found = self._generations[target_id].get(number)
        if found is None:
            self.lack(f"generation {number} of target {safe_line(target_id, 60)} is not in the rulebook")
        return found

    def _read_audit(self) -> list[Entry]:
        try:
            lines, _rest = audit_log.read_log(self.rulebook)
        except TriageError as error:
            self.lack(str(error))
            return []
        damaged = sum(line.entry is None for line in lines)
        if damaged:
            self.lack(f"{number_of(damaged, 'line')} of the audit log cannot be read")
        return [line.entry for line in lines if line.entry is not None]


def time_of(run: Run, link: str) -> str:
    """Return when what a link points to happened: the moment of a call, else that of the stop.

    The clock of calls and the wall clock are set beside each other by the moment of the stop.
    """
    trigger = run.snapshot.trigger
    try:
        parsed = parse_link(link)
        call = run.syscall(int(parsed.id)) if parsed.kind == "syscall" and parsed.id.isdecimal() else None
        if call is None or not (call.ts_mono_ns and trigger.ts_mono_ns and trigger.ts_sec):
            return run.snapshot.created_at
        seconds = trigger.ts_sec + (trigger.ts_nsec + call.ts_mono_ns - trigger.ts_mono_ns) / 1e9
        return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(timespec="milliseconds")
    except (TriageError, ValueError, OverflowError, OSError):
        return run.snapshot.created_at


def names_of(value: object, most: int = 64) -> list[str]:
    """Return the texts that an event holds as a text, a list, or the keys of an object."""
    if isinstance(value, str):
        return [value]
    found: Iterable[object] = value if isinstance(value, list | dict) else ()
    return [one for one in found if isinstance(one, str)][:most]


def id_of(text: bytes) -> str:
    """Return the id in the header of a rule, "" where it cannot be read."""
    try:
        return parse(text).header.id
    except TriageError:
        return ""


def id_in(generation: Generation | None, name: str) -> str:
    """Return the id of a rule file of a generation, "" where it is not known."""
    if generation is None:
        return ""
    ids = dict(zip(sorted(generation.files), generation.rule_ids, strict=False))
    return ids.get(name, "")
