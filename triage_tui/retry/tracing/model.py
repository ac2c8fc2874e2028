"""What a trace is: numbered steps, each with the steps that led to it. All text in it is raw."""

from __future__ import annotations

from typing import Literal

from triage_tui.runs.record import Record

VERSION = 1
Subject = Literal["run", "rule", "story"]
Phase = Literal["plan", "execution", "verification"]
"""`plan`: what was seen, concluded and proposed; `execution`: what was decided and done; `verification`: what
came of it."""
PHASES: tuple[Phase, ...] = ("plan", "execution", "verification")
Kind = Literal[
    "stop",
    "checkpoint",
    "evidence",
    "hypothesis",
    "proposal",
    "experiment",
    "trial",
    "decision",
    "rule",
    "retry",
    "verdict",
    "acted",
    "round",
    "recurrence",
    "end",
]
"""`stop`: the program stopped and was recorded; `checkpoint`: what a retry can go on from was kept; `trial`:
it was run with other rules without making any active; `rule`: rules became active, or were taken back;
`acted`: a rule acted in a run; `round`: another round of the same course; `recurrence`: a mended failure is
back; `end`: the guest ended, or a person is needed."""


class Reference(Record, kw_only=True):
    """A piece of evidence: `link` (see `runs.evidence`) into `run`."""

    run: str
    link: str
    says: str = ""
    holds: bool = True
    """Whether it is there and is what the link was made for."""


class TracedRule(Record, kw_only=True):
    """A rule file that a step is about."""

    file: str
    """Its name below `rules_patch/` of the run, or below its generation."""
    sha256: str = ""
    id: str = ""
    """Of its header, "" where it cannot be read."""
    generation: int = 0
    """The generation of the target that has it, 0 for none."""


class Changed(Record, kw_only=True):
    """A figure of the verdict: before the rule, and after it."""

    name: str
    before: str
    after: str


class TraceStep(Record, kw_only=True):
    """One thing that happened, or that was concluded."""

    number: int
    phase: Phase
    kind: Kind
    run: str
    """The run in whose record it stands; "" for what only the rulebook tells."""
    at: str = ""
    """When, local time with its distance to UTC, ISO 8601; "" where it is not known."""
    actor: str = ""
    """Who: an account, or "policy:auto"; "" where nobody acted."""
    says: str
    """What, one sentence without a full stop."""
    why: str = ""
    """The reason that was given for it, or what it is concluded by."""
    policy: str = ""
    """The line of the written policy that allowed it, "" where a person decided."""
    because: list[int] = []
    """Numbers of the steps that led to it."""
    evidence: list[Reference] = []
    rules: list[TracedRule] = []
    figures: list[Changed] = []
    before: int | None = None
    after: int | None = None
    """Generation of rules that was active before and after it, 0 for none; None where it changed none."""
    digest: str = ""
    """SHA-256 of the generation `after`."""
    audit: int = 0
    """Number of the line of the audit log that tells of it, 0 for none."""


class Trace(Record, kw_only=True):
    """The way of one run, rule or story."""

    of: Subject
    subject: str
    """Run id, rule id or name of the story."""
    says: str
    """What came of it, one sentence."""
    runs: list[str] = []
    """The runs whose records were read, the oldest first."""
    steps: list[TraceStep] = []
    lacking: list[str] = []
    """What is missing or does not agree, one sentence each without a full stop."""
    schema_version: int = VERSION
