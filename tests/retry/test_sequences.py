"""Applying rules and rolling them back is the identity on bytes, in random sequences with kills."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.retry.decisions import copied, memory_directory, workspace_at
from tests.retry.sequences import Counted, Decision, play, sequences
from triage_tui.retry.rules import proposed


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[Path, str]]:
    with memory_directory() as directory:
        yield directory / "template", workspace_at(directory / "template")


@settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=sequences)
def test_apply_and_roll_back_is_the_identity(
    template: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, sequence: list[Decision]
) -> None:
    """`python -m benchmarks.rule_safety` plays 1,000 of them."""
    # It starts a process for each approval, before anything of the decision is on disk.
    for check in ("first_error", "check_rule"):
        monkeypatch.setattr(proposed, check, lambda *_: None)
    root = copied(template[0], template[0].parent / "played")
    try:
        play(root, template[1], sequence, Counted())
    finally:
        shutil.rmtree(root)
