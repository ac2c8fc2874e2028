from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui import fixtures


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a run of a DHCP client and its retry."""
    fixtures.make_exit_run(tmp_path / "ai_runs", waiting=False)
    fixtures.make_retry_run(tmp_path / "ai_runs")
    return tmp_path
