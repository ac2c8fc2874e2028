"""What the model was asked and what came of it: `analyst/<number>/` of the run directory.

`steps.jsonl` is only ever appended to, one JSON object a line. It has a line for each step before it is
taken, and another one of the same number when it is over: what an analysis that was killed had asked is
on record.
`prompts/<hash>.json` holds the messages of a request as they were sent, which is masked. Nothing else of the
run is written here.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.analysis_model import Step, StepKind
from triage_tui.runs.clock import local_time
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import inside, write_atomic
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import encode_json

if TYPE_CHECKING:
    from triage_tui.analyst.adapter import Message

DIRECTORY = "analyst"
STEPS_FILE = "steps.jsonl"
DIAGNOSIS_BEFORE = "diagnosis-before.json"
ANSWERS_FILE = "hypotheses.json"
MAX_ANALYSES = 999
BEGUN = "begun: what came of it is not on record"
"""Outcome of a step that is not over."""
_MAX_TEXT = 4000


class Journal:
    """Records one analysis of a run."""

    def __init__(self, run_dir: Path, model: str) -> None:
        self.model = model
        self.name = _new_directory(run_dir)
        self.dir = inside(run_dir, self.name)
        self._count = 0

    def begin(self, kind: StepKind, phase: str, **fields: Any) -> int:
        """Append that a step is taken now, durably; return its number.

        Raises:
            TriageError: it cannot be written.
        """
        return self.add(kind, phase, outcome=BEGUN, **fields).step

    def add(self, kind: StepKind, phase: str, *, number: int | None = None, **fields: Any) -> Step:
        """Append one step that is over, durably; `number` is that of one that was begun.

        Raises:
            TriageError: it cannot be written.
        """
        if number is None:
            self._count += 1
        for name in ("arguments", "text", "outcome"):
            if name in fields:
                fields[name] = fields[name][:_MAX_TEXT]
        wall = local_time("milliseconds")
        model = self.model if kind == "request" else ""
        step = Step(step=number or self._count, kind=kind, phase=phase, wall=wall, model=model, **fields)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self.dir / STEPS_FILE, flags, 0o644)
            with os.fdopen(handle, "wb", buffering=0) as stream:
                stream.write(encode_line(step) + b"\n")
                os.fsync(stream.fileno())
        except OSError as error:
            raise TriageError(f"the steps of the model cannot be recorded: {error.strerror}") from error
        return step

    def keep_prompt(self, digest: str, messages: list[Message]) -> None:
        """Keep the messages of a request."""
        write_atomic(inside(self.dir, f"prompts/{digest[:12]}.json"), encode_json(messages))

    def keep(self, name: str, value: object) -> None:
        """Keep a value as a JSON file of the analysis."""
        write_atomic(inside(self.dir, name), encode_json(value))


def read_steps(run: Run) -> tuple[str, list[Step], list[str]]:
    """Return the directory of the latest analysis of a run that has steps, the steps, and which later ones of
    the directories have none, because they were ended before their first request.

    Raises:
        TriageError: no analysis has steps.
    """
    try:
        names = os.listdir(inside(run.dir, DIRECTORY))
    except OSError:
        names = []
    numbers = [name for name in names if name.isdecimal() and len(name) < 6]
    if not numbers:
        raise TriageError(f"no model was asked about run {run.run_id}")
    empty: list[str] = []
    for number in sorted(numbers, key=int, reverse=True):
        name = f"{DIRECTORY}/{number}"
        if steps := steps_of(run, name):
            return name, steps, empty
        empty.append(name)
    raise TriageError(f"each analysis of run {run.run_id} was ended before its first request")


def steps_of(run: Run, name: str) -> list[Step]:
    """Return the steps of one analysis, each as it was last; damaged lines are left out.

    Raises:
        TriageError: they cannot be read.
    """
    if not inside(run.dir, f"{name}/{STEPS_FILE}").exists():
        return []
    decoder = msgspec.json.Decoder(Step)
    steps: dict[int, Step] = {}
    for line in run.text_bytes(f"{name}/{STEPS_FILE}").splitlines():
        with contextlib.suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            step = decoder.decode(line)
            steps[step.step] = step
    return list(steps.values())


def _new_directory(run_dir: Path) -> str:
    root = inside(run_dir, DIRECTORY)
    try:
        root.mkdir(exist_ok=True)
        taken = [
            int(entry.name) for entry in os.scandir(root) if entry.name.isdecimal() and len(entry.name) < 6
        ]
        for number in range(max(taken, default=0) + 1, MAX_ANALYSES + 1):
            name = f"{DIRECTORY}/{number:03d}"
            try:
                inside(run_dir, name).mkdir()
            except FileExistsError:
                continue
            return name
    except OSError as error:
        raise TriageError(f"the run directory cannot be written: {error.strerror}") from error
    raise TriageError(f"this run has {MAX_ANALYSES} analyses already: move some of {DIRECTORY}/ away")
