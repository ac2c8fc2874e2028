"""Fitting what confidences mean: a map that keeps the order, and says what it is worth."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.evaluation.test_summary import result
from triage_tui.diagnosis.calibration import CALIBRATION_FILE, HIGHEST, Calibration, read_calibration
from triage_tui.diagnosis.knowledge import load_knowledge, read_knowledge
from triage_tui.errors import TriageError
from triage_tui.evaluation.calibrating import (
    Sample,
    brier,
    calibration_error,
    fit,
    platt,
    samples_of,
    write_calibration,
)
from triage_tui.resources import shipped


def answers(right_share: float, count: int = 400) -> list[Sample]:
    """Answers that are too sure: right in `right_share` of what they say."""
    dice = random.Random(7)
    said = [dice.uniform(0.3, 0.97) for _ in range(count)]
    return [(one, dice.random() < one * right_share) for one in said]


def test_too_sure_answers_become_less_sure_and_keep_their_order() -> None:
    found = fit(answers(0.7))
    meant = [found.calibration.measured(said / 100) for said in range(100)]
    assert meant == sorted(meant)
    assert found.calibration.measured(0.95) == pytest.approx(0.95 * 0.7, abs=0.1)
    assert found.brier_after < found.brier_before
    assert found.error_after < 0.06 < found.error_before


def test_answers_that_mean_what_they_say_are_left_alone() -> None:
    calibration = platt(answers(1.0))
    assert all(abs(calibration.measured(said) - said) < 0.06 for said in (0.4, 0.6, 0.8, 0.9))


def test_right_answers_alone_prove_no_certainty_and_wrong_ones_turn_nothing_round() -> None:
    assert platt([(0.9, True)] * 60).measured(0.97) == HIGHEST
    upside_down = [(0.9, False)] * 30 + [(0.4, True)] * 30
    assert platt(upside_down).slope > 0


def test_a_calibration_only_takes_confidence_away() -> None:
    modest, bold = Calibration(slope=1.0, intercept=2.0), Calibration(slope=0.8, intercept=-0.5)
    assert [modest.of(said) for said in (0.3, 0.66, 0.9)] == [0.3, 0.66, 0.9]
    assert modest.measured(0.66) > 0.9
    assert bold.of(0.9) == bold.measured(0.9) < 0.9


def test_few_answers_say_nothing() -> None:
    with pytest.raises(TriageError, match="at least 20 answers, and there are 3"):
        fit([(0.5, True)] * 3)


def test_figures() -> None:
    assert brier([(1.0, True), (0.5, False)]) == pytest.approx(0.125)
    assert calibration_error([(0.9, True), (0.9, False)]) == pytest.approx(0.4)
    assert (brier([]), calibration_error([])) == (0.0, 0.0)


def test_only_answers_count() -> None:
    results = [
        result("netlink", ("netlink", 0.9)),
        result("netlink", ("unknown", 0.2)),
        result("netlink", problem="gone"),
        result("netlink", ("permission", 0.6), ("netlink", 0.5)),
    ]
    assert samples_of(results) == [(0.9, True), (0.6, False)]


def test_what_is_written_is_read_and_used(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.yaml"
    corpus.write_text("x")
    found = fit(answers(0.6))
    path = tmp_path / "mine" / CALIBRATION_FILE
    write_calibration(path, found, [corpus])
    assert read_calibration(path)[0] == found.calibration
    base = load_knowledge([tmp_path / "mine"])
    assert base.calibration == found.calibration
    assert base.sha256 != load_knowledge().sha256


@pytest.mark.parametrize(
    "text",
    [
        "- 1",
        "schema: 2",
        "schema: 1\nslope: 0\nintercept: 0",
        "schema: 1\nslope: .nan\nintercept: 0",
        "{",
        "schema: 1",
    ],
)
def test_a_calibration_that_is_none_is_a_mistake_of_the_knowledge_base(tmp_path: Path, text: str) -> None:
    path = tmp_path / CALIBRATION_FILE
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(TriageError, match=r"confidence\.yaml"):
        read_calibration(path)
    assert [mistake.file for mistake in read_knowledge([tmp_path]).mistakes] == [str(path)]


def test_the_shipped_calibration_is_used() -> None:
    path = shipped("rules") / CALIBRATION_FILE
    assert load_knowledge().calibration == read_calibration(path)[0]


def test_no_calibration_changes_nothing() -> None:
    assert [Calibration().of(said) for said in (0.0, 0.33, 0.97, 1.0)] == [0.0, 0.33, 0.97, 1.0]
