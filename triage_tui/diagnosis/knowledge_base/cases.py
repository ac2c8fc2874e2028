"""Recorded cases: what an entry of the knowledge base was tried on, small enough to ship beside it.

A case is one JSON file `cases/NAME.json` beside the file that names it: a label (what a fair judge says), the
parts of the run record from which facts are made, and the calls, one a line. `docs/knowledge-base.md`
describes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.diagnosis.knowledge_base.entries import ID, Entry
from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, real_path
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.record import Record
from triage_tui.runs.writer import SNAPSHOT_FILE, TRACE_FILE
from triage_tui.text import safe_line

MAX_CASE_BYTES = 2 << 20


class Case(Record, kw_only=True):
    """One recorded case with its label."""

    title: str
    """What was run, and what was wrong: one line."""
    made: Literal["recorded", "written"]
    """`recorded`: a real program failed so; `written`: by hand, after what real programs print."""
    how: str = ""
    """How it was recorded, or what it was written after."""
    cause: str
    """The root cause, as a fair judge names it."""
    accept: list[str] = []
    """Other causes that are right as well."""
    healthy: bool = False
    proximate: str = ""
    """What the end itself shows, "" where the label does not say."""
    snapshot: Snapshot
    output: str = ""
    """What the program printed."""
    calls: list[Syscall] = []
    """Oldest first."""
    schema: int = 1

    @property
    def accepted(self) -> set[str]:
        """The causes that count as right."""
        return {self.cause, *self.accept}


def case_path(directory: Path, name: str) -> Path:
    """Return where a directory of knowledge base files keeps the case `name`."""
    return directory / "cases" / f"{name}.json"


def find_case(entry: Entry, name: str) -> Path | None:
    """Return the file of a case that `entry` names: beside the entry's file, else among the shipped ones."""
    if not ID.match(name):
        return None
    places = (Path(entry.file).parent, shipped("rules"))
    return next((path for place in places if (path := case_path(place, name)).is_file()), None)


def load_case(path: Path) -> Case:
    """Read one case.

    Raises:
        TriageError: it cannot be read, is too long, or is no case.
    """
    return parse_case(read_bounded(real_path(path), MAX_CASE_BYTES, whole=True), safe_line(str(path), 200))


def parse_case(raw: bytes, shown: str) -> Case:
    """Return the case that a file holds; `shown` is its name in what is said about it.

    Raises:
        TriageError: it is no case.
    """
    try:
        case = msgspec.json.decode(raw, type=Case)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise TriageError(f"{shown} is no recorded case: {safe_line(str(error), 200)}") from error
    if case.schema != 1:
        raise TriageError(f"{shown} is a case of schema {case.schema}, this program reads 1")
    return case


def write_as_run(case: Case, directory: Path) -> Run:
    """Write a case into the empty `directory` as a run record, and read it back."""
    directory.mkdir(parents=True, exist_ok=True)
    snapshot = msgspec.structs.replace(
        case.snapshot, run_id=directory.name, recent_syscalls=case.calls[-64:], guest_output="logs/guest.log"
    )
    (directory / "logs").mkdir(exist_ok=True)
    (directory / "logs" / "guest.log").write_bytes(case.output.encode("utf-8", "surrogatepass"))
    (directory / TRACE_FILE).write_bytes(b"".join(encode_line(call) + b"\n" for call in case.calls))
    (directory / SNAPSHOT_FILE).write_bytes(encode_line(snapshot))
    return load_run(directory)
