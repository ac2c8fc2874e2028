"""Limits of the automatic policy."""

from __future__ import annotations

import pytest

from triage_tui.errors import TriageError
from triage_tui.retry.policy import Limits


@pytest.mark.parametrize("rounds", [0, -1])
def test_at_least_one_round(rounds: int) -> None:
    with pytest.raises(TriageError, match="round"):
        Limits(rounds=rounds)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_the_time_for_a_decision_is_a_time(seconds: float) -> None:
    with pytest.raises(TriageError, match="seconds"):
        Limits(decision_s=seconds)
