"""`rounds.json`: where a course of rounds stands, so that another process goes on exactly there.

It lies in the directory of the first run of the course, and is replaced atomically at each step, so that a
supervisor that is killed, or a disk that is full, leaves the state of the step before.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.rounds.course import Course, LimitName, Stage, Terms, Used
from triage_tui.retry.rounds.policy import Limits, Policy
from triage_tui.retry.rounds.written_policy import WrittenPolicy, shipped_policy
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import process_start, this_process
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.listing import run_dirs
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.record import Record
from triage_tui.runs.writer import encode_json
from triage_tui.text import safe_line

ROUNDS_FILE = "rounds.json"
VERSION = 1
MAX_BYTES = 1 << 20
MAX_ROUNDS = 1000
_MAX_ANCESTORS = 1000
_LOOKED_AT = 50
"""Runs among which courses are looked for that were cut short."""


class KeptRound(Record):
    """One round: its run, and the titles of what was approved on it and before it."""

    run: str
    approved: str | None = None
    approved_before: str | None = None


class Supervisor(Record):
    """The process that runs the rounds."""

    pid: int
    start: int

    @property
    def lives(self) -> bool:
        """Whether it is at work."""
        return process_start(self.pid) == self.start


class KeptRounds(Record, kw_only=True):
    """Where a course stands. `on` is the run that is decided on, or retried; "" where none was recorded."""

    schema_version: int = VERSION
    policy: Policy
    policy_file: str = ""
    limits: Limits
    hold: bool
    supervisor: Supervisor
    stage: Stage
    on: str
    approved: str | None = None
    """Title of what the policy approved for the round that is under way."""
    used: Used
    over: LimitName = ""
    """The limit at which it stopped."""
    why: str = ""
    """Why it stopped, in words."""
    tried: list[str] = []
    rounds: list[KeptRound] = []


def keep(terms: Terms, course: Course, on: str, approved: str | None = None) -> None:
    """Write down where a course stands; before its first run is recorded there is nothing to keep.

    `on` is the run that is decided on or retried, `approved` what the policy approved for that.

    Raises:
        TriageError: it cannot be written; what was kept before is still there.
    """
    if not course.rounds:
        return
    kept = KeptRounds(
        policy=terms.policy,
        policy_file=_named(terms.written),
        limits=terms.limits,
        hold=terms.hold,
        supervisor=msgspec.convert(this_process(), Supervisor),
        stage=course.stage,
        on=on,
        approved=approved,
        used=course.used,
        over=course.over,
        why=course.ended,
        tried=sorted(course.tried),
        rounds=[
            KeptRound(run=one.run.run_id, approved=one.approved, approved_before=one.approved_before)
            for one in course.rounds
        ],
    )
    directory = course.rounds[0].run.dir
    try:
        if directory.is_dir():
            write_atomic(directory / ROUNDS_FILE, encode_json(kept))
    except OSError as error:
        raise TriageError(
            f"where the rounds stand cannot be written beside run {directory.name}: {error.strerror}"
        ) from error


def _named(written: WrittenPolicy | None) -> str:
    """Return the policy file by which a course goes on, "" for the one that is in force then."""
    return str(written.path.absolute()) if written is not None and written.path != shipped_policy() else ""


def read_kept(workspace: Workspace, run: Run) -> KeptRounds | None:
    """Return where the course of a run stands, None where its rounds were never kept.

    Raises:
        TriageError: what is kept is damaged or of a newer version.
    """
    for _ in range(_MAX_ANCESTORS):
        if (run.dir / ROUNDS_FILE).exists():
            return _read(run.dir)
        parent = run.snapshot.parent_run or ""
        if not is_run_id(parent) or not (workspace.runs_dir / parent).is_dir():
            return None
        run = load_run(workspace.runs_dir / parent)
    return None


def claim(workspace: Workspace, kept: KeptRounds) -> None:
    """Become the supervisor of a course that was kept: of two who read it, the second is refused.

    Raises:
        Conflict: somebody else goes on with it since it was read.
        TriageError: it cannot be written.
    """
    first = workspace.runs_dir / kept.rounds[0].run
    try:
        handle = os.open(first, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _read(first) != kept:
                raise Conflict(
                    f"somebody else goes on with the rounds of run {first.name} by now, so nothing was done"
                )
            mine = msgspec.convert(this_process(), Supervisor)
            write_atomic(
                first / ROUNDS_FILE, encode_json(msgspec.structs.replace(kept, supervisor=mine, why=""))
            )
        finally:
            os.close(handle)
    except OSError as error:
        raise TriageError(
            f"the rounds of run {first.name} cannot be gone on with: {error.strerror}"
        ) from error


def cut_short(workspace: Workspace) -> list[str]:
    """Return the runs whose course is neither over nor supervised by anybody: what a killed process left."""
    found = []
    for directory in run_dirs(workspace.runs_dir)[:_LOOKED_AT]:
        if not (directory / ROUNDS_FILE).exists():
            continue
        try:
            kept = _read(directory)
        except TriageError:
            continue
        # Where it says why it stopped, it was said to a person already.
        if kept.stage != "ended" and not kept.why and not kept.supervisor.lives:
            found.append(kept.on or kept.rounds[-1].run)
    return found


def _read(run_dir: Path) -> KeptRounds:
    try:
        kept = msgspec.json.decode(
            read_bounded(run_dir / ROUNDS_FILE, MAX_BYTES, whole=True), type=KeptRounds
        )
    except (TriageError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = safe_line(str(error), 200)
        raise TriageError(
            f"{ROUNDS_FILE} of run {run_dir.name} cannot be used ({said}): say `triage-tui retry` instead"
        ) from None
    if kept.schema_version > VERSION:
        raise TriageError(f"{ROUNDS_FILE} of run {run_dir.name} was written by a newer version")
    names = [kept.on] * bool(kept.on) + [one.run for one in kept.rounds]
    if not kept.rounds or len(names) > MAX_ROUNDS or not all(map(is_run_id, names)):
        raise TriageError(f"{ROUNDS_FILE} of run {run_dir.name} is damaged: it names no runs")
    return kept
