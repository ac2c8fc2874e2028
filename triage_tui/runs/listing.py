"""List the runs of a directory quickly: eight fields each, and one sentence for those that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.events import derive_state, holder_alive, is_abandoned, is_waiting, read_events
from triage_tui.runs.files import read_bounded
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.reader import MAX_SNAPSHOT_BYTES
from triage_tui.runs.writer import SNAPSHOT_FILE


class RunSummary(msgspec.Struct, kw_only=True):
    """What a list shows of one run. All text is raw."""

    run_id: str
    dir: Path
    reason: str = "unknown"
    program: str = ""
    argv: list[str] = []
    arch: str = ""
    created_at: str = ""
    target_id: str = ""
    round: int = 0
    parent_run: str | None = None
    recorded: str | None = None
    state: str = "captured"
    waiting: bool = False
    """A frozen guest waits for a decision and its holder lives."""
    cause: str = ""
    confidence: float = 0.0
    headline: str = ""
    proposals: int = 0
    syscalls: int = 0
    kinds: int = 0
    """Distinct signatures among its syscalls."""
    problem: str | None = None

    @property
    def name(self) -> str:
        """Short name of what ran."""
        return os.path.basename(self.program) or self.run_id


class _Target(msgspec.Struct):
    program: str = ""
    argv: list[str] = []
    arch: str = ""
    target_id: str = ""


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


class _Hypothesis(msgspec.Struct):
    cause: str = ""
    confidence: float = 0.0


class _DiagnosisHead(msgspec.Struct):
    headline: str = ""
    hypotheses: list[_Hypothesis] = []
    proposals: list[Any] = []


_head = msgspec.json.Decoder(_Head)
_diagnosis = msgspec.json.Decoder(_DiagnosisHead)


def summarize(run_dir: Path) -> RunSummary:
    """Return the summary of one run; whatever is wrong with it becomes its `problem`."""
    summary = RunSummary(run_id=run_dir.name, dir=run_dir)
    try:
        raw = read_bounded(run_dir / SNAPSHOT_FILE, MAX_SNAPSHOT_BYTES, whole=True)
        head = _head.decode(raw)
    except TriageError as error:
        still_writing = not (run_dir / SNAPSHOT_FILE).exists()
        summary.problem = "still being written, or no run: no snapshot.json" if still_writing else str(error)
        return summary
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        summary.problem = f"snapshot.json cannot be read: {error}"
        return summary
    summary.reason = head.reason
    summary.created_at = head.created_at
    summary.round = head.round
    summary.parent_run = head.parent_run
    summary.recorded = head.recorded
    summary.syscalls = head.statistics.syscalls
    summary.kinds = head.statistics.distinct_signatures
    if head.target is not None:
        summary.program = head.target.program
        summary.argv = head.target.argv
        summary.arch = head.target.arch
        summary.target_id = head.target.target_id
    events, problems = read_events(run_dir)
    summary.state = derive_state(events)
    summary.waiting = is_waiting(events) and holder_alive(events)
    if problems:
        summary.problem = problems[0]
    _add_diagnosis(summary)
    if summary.problem is None and is_abandoned(events):
        summary.problem = "captured, but not explained: its supervisor was killed meanwhile"
    return summary


def _add_diagnosis(summary: RunSummary) -> None:
    path = summary.dir / "diagnosis.json"
    try:
        found = _diagnosis.decode(read_bounded(path, MAX_SNAPSHOT_BYTES, whole=True))
    except TriageError:
        return
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        summary.problem = f"diagnosis.json cannot be read: {error}"
        return
    summary.headline = found.headline
    summary.proposals = len(found.proposals)
    if found.hypotheses:
        summary.cause = found.hypotheses[0].cause
        summary.confidence = found.hypotheses[0].confidence


def list_runs(runs_dir: Path) -> list[RunSummary]:
    """Return the runs in `runs_dir`, newest first. A missing directory holds none.

    Only directories with the form of a run id count; links are never followed.
    """
    return [summarize(path) for path in run_dirs(runs_dir)]


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
