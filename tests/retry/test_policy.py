"""Limits of the automatic policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import a_proposal, write_run
from triage_tui.errors import TriageError
from triage_tui.retry.rounds.policy import Limits, choose
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.reader import Run, load_run


@pytest.mark.parametrize("rounds", [0, -1])
def test_at_least_one_round(rounds: int) -> None:
    with pytest.raises(TriageError, match="round"):
        Limits(rounds=rounds)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_the_time_for_a_decision_is_a_time(seconds: float) -> None:
    with pytest.raises(TriageError, match="seconds"):
        Limits(decision_s=seconds)


def diagnosed(tmp_path: Path, *hypotheses: tuple[float, str | None]) -> Run:
    """A run with one proposal for each hypothesis: its confidence, and what a person must supply."""
    run = load_run(write_run(tmp_path))
    run.diagnosis = Diagnosis(
        run_id=run.run_id,
        scene="x",
        headline="x",
        hypotheses=[
            Hypothesis(cause="missing_file", proximate="missing_file", confidence=said, title="t")
            for said, _ in hypotheses
        ],
        proposals=[
            a_proposal(f"p{idx}", hypothesis=idx, needs_input=wanted)
            for idx, (_, wanted) in enumerate(hypotheses)
        ],
    )
    return run


@pytest.mark.parametrize(
    ("hypotheses", "chosen"),
    [
        ([(0.94, "a line"), (0.53, None)], None),
        ([(0.94, "a line"), (0.85, None)], "p1"),
        ([(0.7, "a line"), (0.53, None)], "p1"),
        ([(0.94, None), (0.53, None)], "p0"),
    ],
)
def test_beside_a_cause_that_only_a_person_mends_nothing_is_tried(
    tmp_path: Path, hypotheses: list[tuple[float, str | None]], chosen: str | None
) -> None:
    choice = choose(diagnosed(tmp_path, *hypotheses), set())
    assert (choice.proposal.id if choice else None) == chosen
