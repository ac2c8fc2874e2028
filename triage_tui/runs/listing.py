"""Summaries of runs: a few fields each, and one sentence for what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.events import (
    EVENTS_FILE,
    depends_on_processes,
    derive_state,
    holder_alive,
    is_abandoned,
    is_waiting,
    read_events,
    reopened_by,
)
from triage_tui.runs.files import read_bounded
from triage_tui.runs.foreign import foreign_runs, is_being_written, lies_with_sfemu
from triage_tui.runs.form import MAX_SNAPSHOT_BYTES, SCHEMA_VERSION, SFEMU_REASONS, SNAPSHOT_FILE
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.stories import story_name

DIAGNOSIS_FILE = "diagnosis.json"
SOURCES = (SNAPSHOT_FILE, DIAGNOSIS_FILE, EVENTS_FILE)
"""The files that a summary is made from."""

MAX_FOREIGN = 500
"""Runs of SFEmu that are read to be listed before they are taken in; of the others the name is shown."""
MAX_TEXT = 600
MAX_ARGUMENTS = 32
"""What a summary keeps of texts and arguments at most: ten thousand of them are held in memory."""

Form = Literal["run", "writing", "unreadable", "sfemu", "newer", "misnamed"]
"""What a directory of runs holds under one name: a run of ours, one that is being written, one that cannot be
read, one of SFEmu, one of a newer version, or something whose name is no run id."""


class RunSummary(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """What a list shows of one run. All text is raw."""

    run_id: str
    form: Form = "run"
    reason: str = "unknown"
    program: str = ""
    argv: list[str] = []
    arch: str = ""
    created_at: str = ""
    target_id: str = ""
    rootfs: str = ""
    """Root file system on the host, "" for a program without one."""
    round: int = 0
    parent_run: str | None = None
    recorded: str | None = None
    state: str = "captured"
    waiting: bool = False
    """A frozen guest waits for a decision and its holder lives."""
    cause: str = ""
    confidence: float = 0.0
    signature: str = ""
    """Of the most likely cause, by which the same failure is known again; "" in older records."""
    story: str = ""
    """Name of the story that it is of by its cause and its target (see `stories`)."""
    healthy: bool = False
    reopened: str = ""
    """Name of the stable set that once mended this very failure, which is back; "" for none."""
    headline: str = ""
    proposals: int = 0
    generation: int = 0
    """The generation of rules that was made active from it last; 0 for none, or when that was taken back."""
    syscalls: int = 0
    kinds: int = 0
    """Distinct signatures among its syscalls."""
    problem: str | None = None

    @property
    def name(self) -> str:
        """Short name of what ran."""
        return os.path.basename(self.program) or self.run_id

    @property
    def active(self) -> bool:
        """Whether its rules were made active, and not taken back since."""
        return self.generation > 0


class _Target(msgspec.Struct):
    program: str = ""
    argv: list[str] = []
    arch: str = ""
    target_id: str = ""
    rootfs: str | None = None


class _Statistics(msgspec.Struct):
    syscalls: int = 0
    distinct_signatures: int = 0


class _Head(msgspec.Struct):
    """The fields of a snapshot that a list needs; msgspec skips the rest without building it."""

    reason: str = "unknown"
    created_at: str = ""
    target: _Target | None = None
    round: int = 0
    parent_run: str | None = None
    recorded: str | None = None
    statistics: _Statistics = msgspec.field(default_factory=_Statistics)
    schema_version: int = 0


class _Version(msgspec.Struct):
    schema_version: int = 0


class _SfemuTrigger(msgspec.Struct):
    syscall_name: str = ""


class _SfemuHead(msgspec.Struct):
    """The same of a snapshot that SFEmu wrote, which knows neither program nor version."""

    reason: str
    rules_dir: str
    trigger: _SfemuTrigger
    created_at: str = ""
    recent_syscalls: list[msgspec.Raw] = []


class _Hypothesis(msgspec.Struct):
    cause: str = ""
    confidence: float = 0.0
    signature: str = ""


class _DiagnosisHead(msgspec.Struct):
    headline: str = ""
    healthy: bool = False
    hypotheses: list[_Hypothesis] = []
    proposals: list[Any] = []


_head = msgspec.json.Decoder(_Head)
_sfemu = msgspec.json.Decoder(_SfemuHead)
_version = msgspec.json.Decoder(_Version)
_diagnosis = msgspec.json.Decoder(_DiagnosisHead)

_BAD_JSON = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Reading(NamedTuple):
    """A summary, and whether it follows from the files of the run alone."""

    summary: RunSummary
    lasting: bool
    """False when it also depends on a process that may end without a change of any file."""


def summarize(run_dir: Path) -> RunSummary:
    """Return the summary of one run; whatever is wrong with it becomes its `problem`."""
    return read_summary(run_dir).summary


def read_summary(run_dir: Path) -> Reading:
    """Return the summary of one run, and how long it holds."""
    try:
        return _read(run_dir)
    except Exception as error:
        # A run that defeats the reader must not hide the others.
        problem = f"this run cannot be read ({type(error).__name__})"
        return Reading(RunSummary(run_id=run_dir.name, form="unreadable", problem=problem), False)


def _read(run_dir: Path) -> Reading:
    summary = RunSummary(run_id=run_dir.name)
    snapshot = run_dir / SNAPSHOT_FILE
    try:
        raw = read_bounded(snapshot, MAX_SNAPSHOT_BYTES, whole=True)
    except TriageError as error:
        missing = _is_missing(snapshot)
        summary.form = "writing" if missing else "unreadable"
        summary.problem = "still being written, or no run: no snapshot.json" if missing else str(error)
        return Reading(summary, missing)
    problem = _add_head(summary, raw)
    if problem is not None and lies_with_sfemu(run_dir) and is_being_written(snapshot, raw):
        summary.form, summary.problem = "writing", "still being written"
        return Reading(summary, False)
    if problem is not None:
        summary.form, summary.problem = "unreadable", problem
        return Reading(summary, True)
    events, problems = read_events(run_dir)
    summary.state = derive_state(events)
    summary.waiting = is_waiting(events) and holder_alive(events)
    moves = [event for event in events if event.kind in ("activated", "rolled_back")]
    if moves and moves[-1].kind == "activated":
        made = moves[-1].payload.get("generation")
        summary.generation = _count(made) if isinstance(made, int) else 0
    summary.reopened = reopened_by(events)[:MAX_TEXT]
    if problems:
        summary.problem = problems[0]
    _add_diagnosis(summary, run_dir)
    summary.story = story_name(summary)
    if summary.problem is None and is_abandoned(events):
        summary.problem = "captured, but not explained: its supervisor was killed meanwhile"
    return Reading(summary, not depends_on_processes(events))


def _is_missing(path: Path) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _add_head(summary: RunSummary, raw: bytes) -> str | None:
    """Take what the snapshot says; returns one sentence when it cannot be read."""
    try:
        head = _head.decode(raw)
    except _BAD_JSON as error:
        return None if _is_foreign(summary, raw) else f"snapshot.json cannot be read: {error}"
    if head.target is None and _is_foreign(summary, raw):
        return None
    if head.schema_version > SCHEMA_VERSION:
        summary.form = "newer"
    summary.reason = head.reason[:MAX_TEXT]
    summary.created_at = head.created_at[:MAX_TEXT]
    summary.round = _count(head.round)
    summary.parent_run = _brief(head.parent_run)
    summary.recorded = _brief(head.recorded)
    summary.syscalls = _count(head.statistics.syscalls)
    summary.kinds = _count(head.statistics.distinct_signatures)
    if head.target is not None:
        summary.program = head.target.program[-MAX_TEXT:]
        summary.argv = [text[:MAX_TEXT] for text in head.target.argv[:MAX_ARGUMENTS]]
        summary.arch = head.target.arch[:MAX_TEXT]
        summary.target_id = head.target.target_id[:MAX_TEXT]
        summary.rootfs = (head.target.rootfs or "")[-MAX_TEXT:]
    return None


def _count(number: int) -> int:
    return min(max(number, 0), 1 << 53)


def _brief(text: str | None) -> str | None:
    return None if text is None else text[:MAX_TEXT]


def _is_foreign(summary: RunSummary, raw: bytes) -> bool:
    """Take a snapshot of SFEmu, or of a newer version whose fields have other shapes; False for neither."""
    try:
        version = _version.decode(raw).schema_version
    except _BAD_JSON:
        return False
    if version > SCHEMA_VERSION:
        summary.form = "newer"
        summary.problem = f"written by a newer version (schema {version}), whose form is not known here"
        return True
    try:
        head = _sfemu.decode(raw)
    except _BAD_JSON:
        return False
    if version:
        return False
    summary.form = "sfemu"
    summary.reason = SFEMU_REASONS.get(head.reason, head.reason)[:MAX_TEXT]
    summary.created_at = head.created_at[:MAX_TEXT]
    summary.syscalls = len(head.recent_syscalls)
    summary.headline = f"Recorded by SFEmu at {head.trigger.syscall_name[:80] or 'no syscall'}."
    return True


def _add_diagnosis(summary: RunSummary, run_dir: Path) -> None:
    try:
        found = _diagnosis.decode(read_bounded(run_dir / DIAGNOSIS_FILE, MAX_SNAPSHOT_BYTES, whole=True))
    except TriageError:
        return
    except _BAD_JSON as error:
        summary.problem = f"diagnosis.json cannot be read: {error}"
        return
    summary.headline = found.headline[:MAX_TEXT]
    summary.proposals = len(found.proposals)
    summary.healthy = found.healthy
    if found.hypotheses:
        summary.cause = found.hypotheses[0].cause[:MAX_TEXT]
        summary.confidence = min(1.0, max(0.0, found.hypotheses[0].confidence))
        summary.signature = found.hypotheses[0].signature[:MAX_TEXT]


def list_runs(runs_dir: Path) -> list[RunSummary]:
    """Return the runs in `runs_dir`, newest first. A missing directory holds none.

    Only directories with the form of a run id count; links are never followed. Those of SFEmu beside it that
    were not taken in are among them, and the newest of these are read.
    """
    own = {path.name: path for path in run_dirs(runs_dir)}
    foreign = foreign_runs(runs_dir, own)
    found = own | foreign
    unread = set(sorted(foreign, reverse=True)[MAX_FOREIGN:])
    return [
        RunSummary(run_id=name, form="sfemu") if name in unread else summarize(found[name])
        for name in sorted(found, reverse=True)
    ]


def run_dirs(runs_dir: Path) -> list[Path]:
    """Return the run directories, newest first, without reading them."""
    try:
        with os.scandir(runs_dir) as entries:
            names = [e.name for e in entries if is_run_id(e.name) and e.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TriageError(f"cannot list {runs_dir}: {error.strerror}") from error
    return [runs_dir / name for name in sorted(names, reverse=True)]
