"""Diagnose the captured run of a case and hold the answer against the label."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from triage_tui.diagnosis.knowledge import KnowledgeBase
from triage_tui.diagnosis.report import DOUBT, diagnose
from triage_tui.evaluation.claims import NO_CLAIMS, Claims, check_claims
from triage_tui.evaluation.corpus import Case
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.reader import Run, load_run

SURE = 0.8
"""A wrong answer above this confidence is wrong and sure."""

TOP = 3


class Answer(msgspec.Struct, frozen=True):
    """One hypothesis: a cause, how sure, and who had the idea."""

    cause: str
    proximate: str
    confidence: float
    source: str
    """"kb", "model", or "heuristic" for what is said when nothing fits."""
    entry: str


class Result(msgspec.Struct, frozen=True):
    """What came of one case: answers, best first, or the reason why there are none."""

    case: Case
    problem: str = ""
    run: Path | None = None
    answers: tuple[Answer, ...] = ()
    healthy: bool = False
    """The diagnosis says that nothing should be changed."""
    claims: Claims = NO_CLAIMS
    capture_ms: float = 0.0
    """From the freeze to the record, when the run was captured."""
    diagnosis_ms: float = 0.0
    """From the freeze to the diagnosis: the capture then and the diagnosis now."""

    @property
    def best(self) -> Answer | None:
        """The first answer, None when the case was not prepared."""
        return self.answers[0] if self.answers else None

    @property
    def abstained(self) -> bool:
        """The answer is that the cause is not known, in words or by its confidence."""
        return self.best is not None and (self.best.cause == "unknown" or self.best.confidence < DOUBT)

    @property
    def rank(self) -> int | None:
        """Place of the first right answer, from 1."""
        right = (n for n, answer in enumerate(self.answers, start=1) if answer.cause in self.case.right)
        return next(right, None)

    @property
    def right(self) -> bool:
        """The first answer is right, and it was given as an answer."""
        return self.rank == 1 and not self.abstained

    @property
    def near(self) -> bool:
        """The right answer is among the first three."""
        return self.rank is not None and self.rank <= TOP

    @property
    def wrong_and_sure(self) -> bool:
        """The first answer is wrong and was given with high confidence."""
        return self.best is not None and not self.right and self.best.confidence > SURE

    @property
    def accused(self) -> bool:
        """The program is healthy, and the answer is that it failed."""
        return self.best is not None and self.case.healthy and not self.healthy and not self.abstained

    @property
    def proximate_right(self) -> bool:
        """The end was seen for what it is: the label's proximate cause, where it has one."""
        return self.best is not None and self.best.proximate in (
            self.case.right if not self.case.proximate else {self.case.proximate}
        )


def judge(case: Case, run_dir: Path, knowledge: KnowledgeBase | None = None) -> Result:
    """Diagnose the run in `run_dir` anew and judge the answer. Nothing is written.

    `knowledge` is the knowledge base to diagnose with, by default the one that the product uses.

    Raises:
        TriageError: the run cannot be read, or the knowledge base has a mistake.
    """
    run = load_run(run_dir)
    waited = capture_ms(run)
    # Loading is part of it: the product reads the record that it has just written.
    started = time.perf_counter()
    run = load_run(run_dir)
    diagnosis = diagnose(run, knowledge)
    took = (time.perf_counter() - started) * 1000
    return Result(
        case=case,
        run=run_dir,
        answers=answers_of(diagnosis),
        healthy=diagnosis.healthy,
        claims=check_claims(run, diagnosis),
        capture_ms=round(waited, 1),
        diagnosis_ms=round(waited + took, 1),
    )


def answers_of(diagnosis: Diagnosis) -> tuple[Answer, ...]:
    """Return the hypotheses of a diagnosis as answers, best first."""
    return tuple(
        Answer(
            cause=hypothesis.cause,
            proximate=hypothesis.proximate,
            confidence=hypothesis.confidence,
            source="heuristic" if hypothesis.cause == "unknown" else hypothesis.source,
            entry=hypothesis.entry,
        )
        for hypothesis in diagnosis.hypotheses
    )


def capture_ms(run: Run) -> float:
    """Return the time from the freeze to the finished record, 0 where the record does not tell."""
    frozen = run.snapshot.trigger.ts_mono_ns
    captured = next((event.ts_mono_ns for event in run.events if event.kind == "captured"), 0)
    return max(0.0, (captured - frozen) / 1e6) if frozen and captured else 0.0
