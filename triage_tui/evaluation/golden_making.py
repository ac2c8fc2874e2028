"""Make a golden run: freeze a recorded run with what this version makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

from triage_tui.diagnosis.knowledge_base.cases import case_path, load_case
from triage_tui.diagnosis.knowledge_base.entries import ID
from triage_tui.errors import TriageError
from triage_tui.evaluation.golden import Golden, read_golden, replayed, save_golden
from triage_tui.export.bundle import write_bundle
from triage_tui.export.placing import place_file
from triage_tui.resources import recorded_runs, shipped
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.redaction import Redaction
from triage_tui.text import safe_line, safe_name


class Made(NamedTuple):
    """A golden run that was made."""

    path: Path
    golden: Golden
    masked: int
    """Places of its bundles at which secrets were masked."""
    note: str
    """In what its replay differs from the diagnosis in the run itself, "" where it does not."""


def add_golden(
    workspace: Workspace, which: str, into: Path, *, name: str = "", title: str = "", force: bool = False
) -> Made:
    """Freeze a run of the workspace, a run that ships, or a shipped case (by its name) as a golden run.

    Of a run that retries another one, that one is frozen with it, so that the verdict can be given again.

    Raises:
        TriageError: there is no such run, the name is taken or cannot be used, or it cannot be written.
    """
    run, record = _named(workspace, which)
    name = name or _name_of(which, run)
    if not ID.match(name):
        raise TriageError(
            f"{safe_line(name, 60)!r} is no name of a golden run: use lower-case words with hyphens"
        )
    path = into / f"{name}.json"
    if path.exists() and not force:
        raise TriageError(
            f"{safe_line(str(path), 300)} is there already: choose another name, or replace it with --force"
        )
    masked, before = 0, ""
    earlier = _before(run) if run is not None else None
    if not record:
        assert run is not None
        into.mkdir(parents=True, exist_ok=True)
        masked += _freeze(run, into / f"{name}.zip", force)
        record = f"bundle {name}.zip"
        if earlier is not None:
            masked += _freeze(earlier, into / f"{name}.before.zip", force)
            before = f"bundle {name}.before.zip"
    elif earlier is not None:
        before = f"shipped {earlier.run_id}"
    found = replayed(record, before, into, name)
    shown = title or _title(which, run)
    golden = save_golden(path, safe_line(shown, 200), record, before, found)
    return Made(path, golden, masked, _note(run, golden))


def accept(path: Path, found: bytes) -> Golden:
    """Make what a replay gave the expectation of a golden run.

    Raises:
        TriageError: it cannot be read or written.
    """
    golden = read_golden(path)
    return save_golden(path, golden.title, golden.record, golden.before, found)


def _named(workspace: Workspace, which: str) -> tuple[Run | None, str]:
    """Return the run that is named, and its record where it ships."""
    for place in recorded_runs():
        if place.name == which:
            return load_run(place), f"shipped {which}"
    if ID.match(which) and case_path(shipped("rules"), which).is_file():
        return None, f"case {which}"
    return workspace.load(which), ""


def _name_of(which: str, run: Run | None) -> str:
    if run is None:
        return which
    words = safe_name(" ".join(Path(word).name for word in run.snapshot.target.argv[:2]).lower(), 30)
    plain = "-".join("".join(c if c.isalnum() else " " for c in words).split())
    return f"{plain or 'run'}-{run.run_id[9:15]}-{run.run_id[-4:]}"


def _title(which: str, run: Run | None) -> str:
    if run is None:
        return load_case(case_path(shipped("rules"), which)).title
    return " ".join(run.snapshot.target.argv)


def _before(run: Run) -> Run | None:
    """Return the run that `run` retries, where it is there."""
    name = run.snapshot.parent_run
    if not name or Path(name).name != name:
        return None
    try:
        return load_run(run.dir.parent / name)
    except TriageError:
        return None


def _freeze(run: Run, path: Path, force: bool) -> int:
    """Write a run as a bundle; return in how many places secrets were masked."""
    redaction = Redaction.of(run)

    def write(stream: BinaryIO) -> None:
        write_bundle(run, stream, memory=True, redaction=redaction)

    place_file(path, write, force=force)
    return redaction.count


def _note(run: Run | None, golden: Golden) -> str:
    """Tell where the diagnosis of the record is another one than that in the run."""
    told = run.diagnosis if run is not None else None
    if told is None or not told.hypotheses:
        return ""
    was, now = told.hypotheses[0].cause, golden.cause.partition(" ")[0]
    return "" if now == was else f"the run itself says {was}, and its replay {now}"
