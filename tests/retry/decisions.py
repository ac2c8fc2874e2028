"""A small workspace in which everything can be decided, and what a person finds in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.runs.build import a_proposal, write_run
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, patches
from triage_tui.rulebook.audit.check import check
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.events import append_event

TARGET = "x-1"
CALLS = ("openat", "ioctl", "read")
FILES = tuple(f"fix/syscall/{call}@{call}-1.lua" for call in CALLS)


def text_of(call: str, variant: int = 0) -> bytes:
    """A rule for a call; each variant is another text of the same rule."""
    return (
        f"-- triage-rule: 1\n-- id: {call}-1\n-- match: {call}\n-- hit-limit: {variant + 1}\n-- risk: low\n\n"
        "function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)\n  return 0, 0\nend\n"
    ).encode()


def workspace_at(root: Path) -> str:
    """Make a workspace with one run that proposes `FILES`; return the run's id."""
    run_dir = write_run(root / "ai_runs")
    for name, call in zip(FILES, CALLS, strict=True):
        (run_dir / "rules_patch" / name).parent.mkdir(parents=True, exist_ok=True)
        patches.write_rule(run_dir, name, text_of(call))
    proposals = [a_proposal(call, name) for name, call in zip(FILES, CALLS, strict=True)]
    diagnosis = Diagnosis(run_id=run_dir.name, scene="missing_resource", headline="h", proposals=proposals)
    (run_dir / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))
    append_event(run_dir, "captured", {})
    append_event(run_dir, "proposed", {"proposals": list(CALLS)})
    return run_dir.name


@contextmanager
def memory_directory() -> Iterator[Path]:
    """Give a directory in memory where there is one: what a decision makes durable is many fsync(2)."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        yield Path(directory)


def copied(root: Path, to: Path) -> Path:
    """Copy a workspace, links and all."""
    shutil.copytree(root, to, symlinks=True)
    return to


@dataclass(frozen=True)
class Found:
    """What the next program finds: names and SHA-256 of what is active and proposed, and the run's state."""

    active: dict[str, str]
    generation: int
    proposed: dict[str, str]
    state: str


def found(root: Path, run_id: str) -> Found:
    """Begin a program on a workspace and look."""
    workspace = Workspace.at(root)
    run = workspace.load(run_id)
    assert not run.problems
    target = workspace.rulebook_dir(TARGET)
    active = generations.current(target)
    if active is not None:
        assert generations.verify(active) == []
    return Found(
        active=hashes(target / "current"),
        generation=active.number if active else 0,
        proposed={name: _sha256(patches.read_rule(run.dir, name)) for name in FILES},
        state=run.state,
    )


def hashes(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every rule below the active generation."""
    rules = directory / "syscall"
    return {path.name: _sha256(path.read_bytes()) for path in rules.iterdir()} if rules.is_dir() else {}


def check_nothing_left(root: Path) -> None:
    """Fail when a log is not whole, or a killed program left something behind."""
    told = check(root / "rulebook", root / "ai_runs")
    assert (told.problems, told.notes) == ([], [])
    left = [
        os.path.join(parent, name)
        for parent, directories, files in os.walk(root)
        for name in directories + files
        if name.endswith((".tmp", ".new", ".intent.json"))
        or name.startswith(".new-")
        or parent.endswith(".pending")
    ]
    assert not left, left


def actions(root: Path, actor: str = "ann") -> LocalActions:
    """Return the decisions of a person."""
    return LocalActions(Workspace.at(root), actor)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
