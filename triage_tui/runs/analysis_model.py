"""What is kept of a model's analysis of a run: `analyst/<number>/steps.jsonl` and `hypotheses.json`."""

from __future__ import annotations

from typing import Literal

from triage_tui.runs.diagnosis_model import Hypothesis, Proposal
from triage_tui.runs.record import Record

StepKind = Literal["request", "tool", "end"]


class Step(Record):
    """One line of `steps.jsonl`: a request, a call of a tool, or the end of the analysis."""

    step: int
    """1, 2, ..."""
    kind: StepKind
    phase: str
    wall: str
    """Local time with zone, ISO 8601."""
    model: str = ""
    prompt_sha256: str = ""
    """Of the messages, the marker of the fence left out; the first 12 digits name the file in `prompts/`."""
    tokens_in: int = 0
    tokens_out: int = 0
    money: float | None = None
    """What the request cost, null where no price is known."""
    seconds: float = 0.0
    tool: str = ""
    arguments: str = ""
    outcome: str = ""
    """`ok`, or what went wrong in one sentence."""
    text: str = ""
    """The beginning of what came back, masked."""


class Progress(Record):
    """How far an analysis is that goes on. `analyze --progress` tells one each second, as a line of JSON."""

    phase: str
    characters: int
    """Of the answer that is under way."""
    steps: int
    """Requests and calls of tools so far."""
    steps_left: int
    tokens: int
    """Tokens of prompts and replies so far."""
    tokens_left: int
    seconds: float
    seconds_left: float
    money: float = 0.0
    money_left: float | None = None
    """None: there is no budget of money."""


class Outcome(Record):
    """What came of an analysis."""

    run_id: str
    model: str
    analysis: str
    """Its directory, below the run."""
    ended: str
    """`done`, or why the work ended before."""
    complete: bool
    steps: int
    """Requests and calls of tools."""
    tokens_in: int
    tokens_out: int
    money: float
    priced: bool
    """Whether all requests had a known price; else `money` is that of the others."""
    seconds: float
    unsupported: int = 0
    """Claims without evidence that holds."""
    invented: int = 0
    """Evidence ids that name nothing in the record."""
    hypotheses: list[Hypothesis] = []
    proposals: list[Proposal] = []
    dropped: list[str] = []
    """What was left out, and why, one sentence each."""
