"""Golden runs: recorded runs with what is expected of them, replayed to the byte.

    rules/golden/NAME.json          those that ship; their records are shipped cases and shipped runs
    WORKSPACE/golden/NAME.json      a person's own, each with its record beside it
    WORKSPACE/golden/NAME.zip       the run as a bundle, secrets masked, memory kept
    WORKSPACE/golden/NAME.before.zip    the run that it retries, where it retries one

A replay reads the record and nothing else: it diagnoses, proposes, runs the proposed rules over the recorded
calls, and judges the run against the one before. What comes of that is written down in one canonical form
(JSON with sorted keys, one item a line), so that the same record, rules and version give the same bytes, on
every machine. Whatever a change of rules or code makes of a golden run shows as a difference of lines.
"""

from __future__ import annotations

import difflib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from triage_tui import __version__
from triage_tui.diagnosis.knowledge_base.cases import case_path, load_case, write_as_run
from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE
from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import TriageError
from triage_tui.export.unpacking import unpack_bundle
from triage_tui.proposals.build import propose
from triage_tui.resources import recorded_runs, shipped
from triage_tui.retry.judging.judge import judge
from triage_tui.rulebook import patches
from triage_tui.rulebook.check.replay import Replay, replay
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.record import Record
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.text import number_of, safe_line

SCHEMA_VERSION = 1
GOLDEN_DIR = "golden"
"""In the shipped rules, and in a workspace."""
MAX_BYTES = 8 << 20
MAX_DIFF = 200
"""Lines of a difference that are kept."""
NOWHERE = "/dev/null/rootfs"
"""The root file system of a replayed run: none that any machine has, because its files are no part of the
record."""

_SOURCES = ("case", "shipped", "bundle")


class MadeBy(Record):
    """With what it was made; for people, nothing of it is compared."""

    version: str
    knowledge_sha256: str = ""


class Golden(Record):
    """A golden run. `record` and `before` are "case NAME", "shipped RUN" or "bundle FILE"."""

    title: str
    record: str
    made_by: MadeBy
    sha256: str
    """Of the canonical form of `expected`."""
    expected: dict[str, Any]
    before: str = ""
    """The record of the run that it retries, "" for none."""
    schema: int = SCHEMA_VERSION

    @property
    def cause(self) -> str:
        """The signature of the expected cause."""
        diagnosis = self.expected.get("diagnosis")
        hypotheses = diagnosis.get("hypotheses") if isinstance(diagnosis, dict) else None
        first = hypotheses[0] if isinstance(hypotheses, list) and hypotheses else None
        return str(first.get("signature", "")) if isinstance(first, dict) else ""

    @property
    def verdict(self) -> str:
        """The expected verdict in one word, "" where none is given."""
        verdict = self.expected.get("verdict")
        return str(verdict.get("word", "")) if isinstance(verdict, dict) else ""


class Checked(msgspec.Struct, frozen=True):
    """What came of a golden run. `difference` has the lines of a unified diff, none where all is well."""

    name: str
    path: Path
    found: bytes
    difference: tuple[str, ...] = ()
    problem: str = ""
    """Why it could not be replayed, or its file is not what it says of itself."""

    @property
    def good(self) -> bool:
        """Whether everything is as expected."""
        return not self.difference and not self.problem


def canonical(value: object) -> bytes:
    """Return a value in the form that is compared: JSON, keys sorted, one item a line."""
    plain = msgspec.json.encode(msgspec.to_builtins(value), order="sorted")
    return msgspec.json.format(plain, indent=1) + b"\n"


def golden_dirs(workspace: Path) -> list[Path]:
    """Return where golden runs lie: those that ship, and those of a workspace where it has some."""
    own = workspace / GOLDEN_DIR
    return [shipped("rules") / GOLDEN_DIR, *([own] if own.is_dir() else [])]


def golden_files(places: Sequence[Path], names: Sequence[str] = ()) -> list[Path]:
    """Return the files of golden runs, sorted by name; with `names` only those.

    Raises:
        TriageError: there is none of such a name.
    """
    found = sorted((path for place in places for path in place.glob("*.json")), key=lambda path: path.stem)
    if missing := sorted(set(names) - {path.stem for path in found}):
        raise TriageError(
            f"there is no golden run {safe_line(missing[0], 60)!r}: `triage-tui golden list` names them"
        )
    return [path for path in found if not names or path.stem in names]


def read_golden(path: Path) -> Golden:
    """Read a golden run.

    Raises:
        TriageError: it cannot be read, is none, or is of a newer version.
    """
    shown = safe_line(str(path), 300)
    raw = read_bounded(path, MAX_BYTES, whole=True)
    try:
        golden = msgspec.json.decode(raw, type=Golden)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TriageError(f"{shown} is no golden run: {safe_line(str(error), 200)}") from None
    if golden.schema != SCHEMA_VERSION:
        raise TriageError(f"{shown} is a golden run of schema {golden.schema}, this program reads 1")
    return golden


def check(paths: Sequence[Path]) -> Iterator[Checked]:
    """Replay golden runs and yield what came of each; one that cannot be replayed does not keep the others.

    Nor does a file that is no golden run.
    """
    for path in paths:
        try:
            golden = read_golden(path)
        except TriageError as error:
            yield Checked(path.stem, path, b"", problem=str(error))
            continue
        expected = canonical(golden.expected)
        if hashlib.sha256(expected).hexdigest() != golden.sha256:
            why = "its expectation was changed by hand: it is not what its own SHA-256 says"
            yield Checked(path.stem, path, b"", problem=why)
            continue
        try:
            found = replayed(golden.record, golden.before, path.parent, path.stem)
        except TriageError as error:
            yield Checked(path.stem, path, b"", problem=str(error))
            continue
        yield Checked(path.stem, path, found, tuple(_difference(expected, found)))


def _difference(expected: bytes, found: bytes) -> list[str]:
    if expected == found:
        return []
    texts = (expected.decode().splitlines(), found.decode().splitlines())
    lines = list(difflib.unified_diff(*texts, "expected", "found", lineterm="", n=2))
    more = len(lines) - MAX_DIFF
    return lines if more <= 0 else [*lines[:MAX_DIFF], f"... {number_of(more, 'line')} more"]


def save_golden(path: Path, title: str, record: str, before: str, found: bytes) -> Golden:
    """Write a golden run whose expectation is what a replay gave.

    Raises:
        TriageError: it cannot be written.
    """
    golden = Golden(
        title=title,
        record=record,
        before=before,
        made_by=MadeBy(version=__version__, knowledge_sha256=IN_FORCE.current().sha256),
        sha256=hashlib.sha256(found).hexdigest(),
        expected=msgspec.json.decode(found),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, msgspec.json.format(msgspec.json.encode(golden), indent=1) + b"\n")
    except OSError as error:
        raise TriageError(f"{safe_line(str(path), 300)} cannot be written: {error.strerror}") from error
    return golden


def replayed(record: str, before: str, beside: Path, name: str) -> bytes:
    """Replay a record and return what comes of it in canonical form.

    `beside` is the directory in which bundles lie; `name` is what a case is called while it is replayed.

    Raises:
        TriageError: the record cannot be read, or the knowledge base has a mistake.
    """
    with tempfile.TemporaryDirectory(prefix="triage-tui-golden-") as scratch:
        run = _explained(_loaded(record, beside, Path(scratch), name))
        assert run.diagnosis is not None
        run.diagnosis.proposals = propose(run, run.diagnosis)
        verdict = None
        if before:
            earlier = _explained(_loaded(before, beside, Path(scratch), f"{name}-before"))
            told = read_verdict(run.dir)
            verdict = judge(earlier, run, how=told.how if told is not None else "retry")
        rules = {
            file: patches.read_rule(run.dir, file)
            for proposal in run.diagnosis.proposals
            for file in proposal.files
            if file.startswith("fix/") and file.endswith(".lua")
        }
        return canonical(
            {
                "diagnosis": _comparable(run.diagnosis),
                "rules": {file: text.decode("utf-8", "replace").split("\n") for file, text in rules.items()},
                "replay": {file: _replayed(run, file, text) for file, text in rules.items()},
                "verdict": verdict,
            }
        )


def _loaded(record: str, beside: Path, scratch: Path, name: str) -> Run:
    """Return a record as a run in `scratch`, where it may be written to."""
    source, _, which = record.partition(" ")
    if source not in _SOURCES or not which or Path(which).name != which:
        raise TriageError(f"{safe_line(record, 100)!r} names no record of a golden run")
    match source:
        case "case":
            run = write_as_run(load_case(case_path(shipped("rules"), which)), scratch / name)
        case "shipped":
            place = next((path for path in recorded_runs() if path.name == which), None)
            if place is None:
                raise TriageError(f"no run {safe_line(which, 60)!r} ships with this version")
            run = load_run(Path(shutil.copytree(place, scratch / "ai_runs" / which)))
        case _:
            run_id, _ = unpack_bundle(beside / which, scratch)
            run = load_run(scratch / "ai_runs" / run_id)
    if run.snapshot.target.rootfs is not None:
        run.snapshot.target.rootfs = NOWHERE
    return run


def _explained(run: Run) -> Run:
    """Diagnose a run anew, whatever its record says."""
    run.diagnosis = diagnose(run)
    return run


def _comparable(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis without what tells by which files it was made: their effect is compared."""
    fields: dict[str, Any] = msgspec.to_builtins(diagnosis)
    for field in ("kb_sha256", "kb_problems"):
        del fields[field]
    for proposal in fields["proposals"]:
        # These are runs of our own engine.
        del proposal["not_on_sfemu"]
    return fields


def _replayed(run: Run, file: str, text: bytes) -> dict[str, Any]:
    """Return what a proposed rule does at the recorded calls; those that only observe do nothing."""
    name = file.removeprefix("fix/")
    found: Replay = replay(run.run_id, run.snapshot.target.arch, run.trace(), name, text)
    return {
        "calls": found.calls,
        "acts": [outcome.seq for outcome in found.acted],
        "answers": {str(seq): told for seq, told in found.answers.items()},
        "problems": [problem for outcome in found.outcomes for problem in outcome.problems],
        "failure": found.failure,
    }
