"""What the tests of the guest engine share."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["notify", "trace"])
def each_carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every guest of the test started once with seccomp notification and once with ptrace instead."""
    monkeypatch.setenv("TRIAGE_TUI_CARRIER", request.param)


@pytest.fixture
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the guests of a test started with the carrier that `carried` gave its case."""
    monkeypatch.setenv("TRIAGE_TUI_CARRIER", request.param)
