"""Random sequences of rollouts with kills: what a rollout put somewhere is gone once it is stopped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.retry.decisions import copied, memory_directory
from tests.retry.rollout_sequences import Act, play_rollouts, rollout_sequences
from tests.retry.sequences import Counted
from tests.retry.test_rollout import workspace_with_targets
from triage_tui.retry.sharing import rollout as rolling


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[Path, str]]:
    with memory_directory() as directory:
        yield directory / "template", workspace_with_targets(directory / "template")


@settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=rollout_sequences)
def test_stopping_every_rollout_leaves_none_of_their_rules(
    template: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, sequence: list[Act]
) -> None:
    monkeypatch.setattr(rolling, "check_named", lambda _w, rules, **_: {rule.name: [] for rule in rules})
    root = copied(template[0], template[0].parent / "played")
    try:
        play_rollouts(root, template[1], sequence, Counted())
    finally:
        shutil.rmtree(root)
