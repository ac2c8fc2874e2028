"""The run that is worked on, with what belongs to it: its program files, its root, the round before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction

MAX_RESULT = 24_000
"""Bytes of an answer as JSON: what a model reads for one question."""


def _no_files(path: str) -> bytes:
    raise TriageError("the program files of this run are not at hand")


class Case(msgspec.Struct):
    """What tools work on. Calls on one case are made one after the other; see `lock`."""

    run: Run
    program_file: Callable[[str], bytes] = _no_files
    """Returns the content of a file that the guest had mapped, by its guest path, while it is the one of the
    run; raises TriageError otherwise."""
    root: Path | None = None
    """Host directory of the guest's root file system, None where there is none to read from."""
    no_root: str = "the run has no root file system of its own"
    """Why `root` is None."""
    rulebook: Path | None = None
    """Directory of the rule generations of the run's target."""
    instruction_set: str = ""
    """Of the process that is looked at, as the disassembler calls it; empty: unknown."""
    sfanalysis: Path | None = None
    """Directory of SFAnalysis results of the firmware."""
    actor: str = "model"
    """Who asks: stands beside what is noted in the run."""
    max_result: int = MAX_RESULT
    redaction: Redaction = msgspec.field(default_factory=Redaction)
    progress: Callable[[str], None] = lambda text: None
    """Gets a line of raw text when something takes long."""
    cancel: threading.Event = msgspec.field(default_factory=threading.Event)
    """Set by another thread, it ends what takes long."""
    lock: threading.RLock = msgspec.field(default_factory=threading.RLock)
    kept: dict[str, Any] = msgspec.field(default_factory=dict)
    """What tools have read of the program files, so that it is read once."""
