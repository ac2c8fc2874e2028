"""`suspicious_points.json`: places in the program that somebody takes for the reason of a failure.

A model, an outside agent or a person notes them while looking; each names a function, says why, and cites
evidence. Nothing is ever lost: each change makes a new revision and leaves what was there in `history`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Literal, get_args

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.runs.clock import local_time
from triage_tui.runs.diagnosis_model import Evidence
from triage_tui.runs.evidence import resolve
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.runs.reader import Run
from triage_tui.runs.record import Record
from triage_tui.runs.writer import encode_json
from triage_tui.text import safe_line

POINTS_FILE = "suspicious_points.json"
POINTS_SCHEMA_VERSION = 1
MAX_BYTES = 4 << 20
MAX_POINTS = 200
MAX_HISTORY = 50
MAX_EVIDENCE = 20
MAX_TEXT = 4000

PointState = Literal["open", "confirmed", "refuted"]
STATES: tuple[PointState, ...] = get_args(PointState)


class PointChange(Record):
    """What was changed, by whom, and what stood there before."""

    revision: int
    wall: str
    actor: str
    before: dict[str, str] = {}
    """Field -> its text before this change; empty for the first."""


class SuspiciousPoint(Record):
    """One place. `score` is between 0 and 1: how likely it is that the failure comes from there."""

    id: str
    function_name: str
    description: str
    module: str = ""
    """Guest path of the file that holds the function."""
    cause: str = ""
    """A cause as the failure taxonomy names it, or any other word for the kind of fault."""
    score: float = 0.5
    state: PointState = "open"
    important_controlflow: list[str] = []
    """Functions and values through which the failure goes."""
    evidence: list[Evidence] = []
    notes: str = ""
    """What looking closer showed."""
    revision: int = 1
    history: list[PointChange] = []


class SuspiciousPoints(Record):
    """The content of the file."""

    points: list[SuspiciousPoint] = []
    revision: int = 0
    schema_version: int = POINTS_SCHEMA_VERSION


def read_points(run: Run) -> SuspiciousPoints:
    """Return what was noted in a run; nothing where nobody did.

    Raises:
        TriageError: the file is damaged or of a newer version.
    """
    path = run.dir / POINTS_FILE
    if not os.path.lexists(path):
        return SuspiciousPoints()
    try:
        found = msgspec.json.decode(read_bounded(path, MAX_BYTES, whole=True), type=SuspiciousPoints)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise TriageError(
            f"{POINTS_FILE} of run {run.run_id} is damaged: {safe_line(str(error), 120)}"
        ) from error
    if found.schema_version > POINTS_SCHEMA_VERSION:
        raise TriageError(f"{POINTS_FILE} of run {run.run_id} was written by a newer version")
    for point in found.points:
        # What is cited may be gone or changed by now.
        for one in point.evidence:
            known = resolve(run, one.link)
            one.supported = known.holds or (known.stands and one.supported)
    return found


def add_point(run: Run, point: SuspiciousPoint, links: list[str], actor: str) -> SuspiciousPoint:
    """Note a point and return it with its id.

    Raises:
        TriageError: it says nothing, there are too many, or the file cannot be used.
    """
    _check(point)
    with _locked(run):
        known = read_points(run)
        if len(known.points) >= MAX_POINTS:
            raise TriageError(
                f"run {run.run_id} has {MAX_POINTS} suspicious points already, which is the limit"
            )
        known.revision += 1
        taken = {one.id for one in known.points}
        number = len(known.points) + 1
        while f"sp{number}" in taken:
            number += 1
        point.id = f"sp{number}"
        point.evidence = evidence_of(run, links)
        point.revision = 1
        point.history = [PointChange(revision=1, wall=local_time(), actor=actor)]
        known.points.append(point)
        _write(run, known)
    return point


def change_point(
    run: Run,
    point_id: str,
    changes: dict[str, object],
    links: list[str] | None,
    actor: str,
    expect: int | None = None,
) -> SuspiciousPoint:
    """Change fields of a point; `links`, if given, are the evidence from now on. `expect` is its revision.

    Raises:
        Conflict: somebody else changed it since.
        TriageError: there is no such point, or a value is not allowed.
    """
    with _locked(run):
        known = read_points(run)
        place = next((i for i, one in enumerate(known.points) if one.id == point_id), None)
        if place is None:
            raise TriageError(f"there is no suspicious point {safe_line(point_id, 40)!r} in run {run.run_id}")
        old = known.points[place]
        if expect is not None and expect != old.revision:
            raise Conflict(f"{old.id} is at revision {old.revision} by now, not {expect}: look at it again")
        evidence = old.evidence if links is None else evidence_of(run, links)
        new = msgspec.structs.replace(old, **changes, evidence=evidence)
        _check(new)
        before = {
            name: str(msgspec.to_builtins(getattr(old, name)))[:MAX_TEXT]
            for name in (*changes, "evidence")
            if getattr(old, name) != getattr(new, name)
        }
        if not before:
            return old
        new.revision = old.revision + 1
        entry = PointChange(revision=new.revision, wall=local_time(), actor=actor, before=before)
        new.history = [*old.history, entry][-MAX_HISTORY:]
        known.points[place] = new
        known.revision += 1
        _write(run, known)
    return new


def evidence_of(run: Run, links: list[str]) -> list[Evidence]:
    """Return links with what they point to; one that leads nowhere is marked as unsupported."""
    found = []
    for link in links[:MAX_EVIDENCE]:
        known = resolve(run, link)
        supported = known.holds
        says = safe_line(f"{known.title}: {known.text}", 200)
        found.append(Evidence(link=safe_line(link, 300), says=says, supported=supported))
    return found


def _check(point: SuspiciousPoint) -> None:
    if not point.function_name.strip() or not point.description.strip():
        raise TriageError("a suspicious point needs a function and a description")
    if not 0 <= point.score <= 1:
        raise TriageError("the score of a suspicious point lies between 0 and 1")
    if point.state not in STATES:
        raise TriageError(f"the state of a suspicious point is one of {', '.join(STATES)}")


def _write(run: Run, points: SuspiciousPoints) -> None:
    data = encode_json(points)
    if len(data) > MAX_BYTES:
        raise TriageError(f"{POINTS_FILE} of run {run.run_id} would be larger than {MAX_BYTES >> 20} MiB")
    write_atomic(run.dir / POINTS_FILE, data)


@contextlib.contextmanager
def _locked(run: Run) -> Iterator[None]:
    """Hold flock(2) on the run directory: one change at a time."""
    try:
        handle = os.open(run.dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TriageError(f"run {run.run_id} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
