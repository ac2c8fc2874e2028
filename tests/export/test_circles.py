"""Records in which links lead in a circle are shown and exported as far as they can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui import fixtures
from triage_tui.cli.main import main


@pytest.mark.parametrize("name", ["verdict.json", "logs", "rules_patch", "memory", "diagnosis.json"])
@pytest.mark.parametrize("command", ["show", "export"])
def test_links_in_a_circle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs", fixtures.EXIT_RUN)
    place = run_dir / name
    if place.is_dir():
        place.rename(tmp_path / "aside")
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(place)
    status = main([command, "last", "-C", str(tmp_path)])
    said = capsys.readouterr()
    assert status in (0, 2), said
    assert "internal error" not in said.err
