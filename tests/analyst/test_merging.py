"""Two opinions in one diagnosis: what names a hypothesis by its number goes on to name it."""

from __future__ import annotations

import pytest

from tests.runs.build import a_proposal
from triage_tui.analyst.merging import CEILING, UNSUPPORTED_CEILING, capped, merge, without_model
from triage_tui.runs.diagnosis_model import Diagnosis, Experiment, Hypothesis, Proposal


def said(cause: str, confidence: float, source: str = "kb") -> Hypothesis:
    return Hypothesis(
        cause=cause,
        proximate=cause,
        confidence=confidence,
        title=cause,
        source=source,  # type: ignore[arg-type]
        model="m" if source == "model" else "",
    )


def rule(name: str, hypothesis: int, source: str = "kb") -> Proposal:
    return a_proposal(name, f"fix/syscall/{name}.lua", hypothesis=hypothesis, source=source)


BASE = Diagnosis(
    run_id="r",
    scene="s",
    headline="h",
    hypotheses=[
        said("unknown", 0.2),
        said("missing_file", 0.5),
        said("permission", 0.3),
        said("netlink", 0.4),
    ],
    proposals=[rule("a", 1), rule("b", 2)],
    experiments=[Experiment(id="e", kind="probe", says="x", hypotheses=[2, 0])],
)


def test_the_first_answer_stays_and_numbers_follow() -> None:
    found = [
        said("time_rtc", 0.6, "model"),
        said("permission", 0.55, "model"),
        said("permission", 0.5, "model"),
    ]
    proposed = [(0, rule("c", 9, "model")), (2, rule("d", 9, "model")), (1, rule("b", 9, "model"))]
    merged = merge(BASE, found, proposed, "analyst/001")
    assert [one.cause for one in merged.hypotheses] == [
        "unknown",
        "time_rtc",
        "missing_file",
        "permission",
        "netlink",
    ]
    assert [one.confidence for one in merged.hypotheses] == [0.2, 0.6, 0.5, 0.3, 0.4]
    last = merged.hypotheses[3]
    assert last.opinion is not None
    assert (last.source, last.opinion.confidence) == ("kb", 0.55)
    # A rule that both propose is the knowledge base's.
    assert [(one.id, one.hypothesis, one.source) for one in merged.proposals] == [
        ("a", 2, "kb"),
        ("b", 3, "kb"),
        ("c", 1, "model"),
        ("d", 3, "model"),
    ]
    assert merged.experiments[0].hypotheses == [3, 0]
    assert without_model(merged) == BASE
    assert BASE.hypotheses[2].opinion is None


@pytest.mark.parametrize(
    ("confidence", "supported", "told"),
    [(0.99, 3, CEILING), (0.4, 1, 0.4), (0.99, 0, UNSUPPORTED_CEILING), (0.1, 0, 0.1)],
)
def test_a_models_confidence_is_capped(confidence: float, supported: int, told: float) -> None:
    assert capped(confidence, supported=supported) == told
