"""The figures of an evaluation: what counts as right, as sure, as accusing, and what never counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from triage_tui.evaluation.claims import Claims
from triage_tui.evaluation.corpus import Case
from triage_tui.evaluation.measure import Answer, Result
from triage_tui.evaluation.summary import calibration, figures, report
from triage_tui.evaluation.tables import calibration_rows, case_rows, cause_rows, sentences


def result(cause: str, *given: tuple[str, float], **more: Any) -> Result:
    label = {"accept": more.pop("accept", []), "healthy": more.pop("is_healthy", False)}
    case = Case(id=f"{cause}-1", arch="armhf", cause=cause, packages=["a:armhf"], argv=["/a"], **label)
    answers = tuple(
        Answer(cause=name, proximate=name, confidence=sure, source="kb", entry="e") for name, sure in given
    )
    return Result(case=case, answers=answers, run=Path("/r") if answers else None, **more)


RIGHT = result("missing_file", ("missing_file", 0.9), diagnosis_ms=10)
ACCEPTED = result("missing_file", ("config_error", 0.6), accept=["config_error"], diagnosis_ms=30)
SECOND = result("permission", ("missing_file", 0.81), ("permission", 0.5), diagnosis_ms=20)
FOURTH = result("netlink", *((name, 0.7) for name in ("permission", "unknown", "arguments", "netlink")))
DOUBTFUL = result("missing_peer", ("missing_peer", 0.3), ("missing_file", 0.2))
LOST = result("spin_or_lock", problem="no package")
ACCUSED = result("normal_exit", ("permission", 0.7), is_healthy=True)
WELL = result("normal_exit", ("normal_exit", 0.7), is_healthy=True, healthy=True)
ALL = [RIGHT, ACCEPTED, SECOND, FOURTH, DOUBTFUL, LOST, ACCUSED, WELL]


def test_what_counts() -> None:
    told = figures(ALL)
    assert told["cases"] == 8
    assert told["not_prepared"] == 1
    # Right: the named cause, an accepted one, a healthy end. Not: one said with too much doubt, one not run.
    assert told["top1"] == pytest.approx(3 / 8)
    assert told["top3"] == pytest.approx(5 / 8)
    assert told["wrong_and_sure"] == 1
    assert told["abstained"] == 1
    assert told["healthy_accused"] == 1


def test_a_healthy_program_of_which_nothing_is_known_is_not_accused() -> None:
    assert not result("normal_exit", ("unknown", 0.2), is_healthy=True).accused
    assert result("network_wait", ("network_wait", 0.6), is_healthy=True).accused


def test_exactly_the_promised_keys() -> None:
    told = report(ALL)
    assert set(told) == {
        "cases", "top1", "top3", "wrong_and_sure", "abstained", "unsupported_claims", "healthy_accused",
        "median_diagnosis_ms", "per_cause", "per_case",
    }  # fmt: skip
    assert list(told["per_cause"]) == sorted({one.case.cause for one in ALL})
    assert told["per_cause"]["missing_file"]["median_diagnosis_ms"] == 20
    lost = next(one for one in told["per_case"] if not one["prepared"])
    assert (lost["problem"], lost["right"], lost["answers"]) == ("no package", False, [])


def test_unsupported_claims_add_up() -> None:
    bad = Claims(total=5, unsupported=("one", "two"))
    told = report([RIGHT, result("netlink", ("netlink", 0.9), claims=bad)])
    assert told["unsupported_claims"] == 2
    assert told["per_case"][1]["unsupported"] == ["one", "two"]


def test_calibration_tells_said_from_right() -> None:
    results = [result("netlink", ("netlink", 0.75)), result("netlink", ("permission", 0.79)), RIGHT, LOST]
    results.append(result("netlink", ("netlink", 1.0)))
    found = {(one.low, one.answers): (one.said, one.right) for one in calibration(results)}
    assert found == {(0.7, 2): (0.77, 0.5), (0.9, 2): (0.95, 1.0)}
    assert calibration([LOST]) == []


def test_tables_hold_every_case_and_cause_and_survive_nothing() -> None:
    header, rows = case_rows(ALL)
    assert all(len(row) == len(header) for row in rows)
    assert [row[5].split(",")[0] for row in rows] == [
        "right", "right", "WRONG", "WRONG", "abstained", "not evaluated: no package", "WRONG", "right",
    ]  # fmt: skip
    header, rows = cause_rows(ALL)
    assert all(len(row) == len(header) for row in rows)
    assert rows[-1][:4] == ["all", "8", "38 %", "62 %"]
    assert any("1 of the cases could not be evaluated" in line for line in sentences(ALL))
    assert calibration_rows([LOST])[1] == []
    assert sentences([LOST])
