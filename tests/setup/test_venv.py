"""The virtual environment that make uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from triage_tui.setup import venv


def test_a_half_made_environment_is_made_anew(tmp_path: Path) -> None:
    directory = tmp_path / "environment"
    (directory / "bin").mkdir(parents=True)
    (directory / "leftover").touch()
    lines: list[str] = []
    venv.ensure_venv(directory, lines.append)
    assert not (directory / "leftover").exists()
    assert len(lines) == 1
    # Its pip works: otherwise it would be made anew.
    venv.ensure_venv(directory, lines.append)
    assert len(lines) == 1


def test_without_ensurepip_pip_comes_from_the_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "path" / "ensurepip"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('split off by the distribution')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    directory = tmp_path / "environment"
    lines: list[str] = []
    venv.ensure_venv(directory, lines.append)
    assert any("no ensurepip" in line for line in lines)
    subprocess.run([directory / "bin" / "python", "-m", "pip", "--version"], check=True, capture_output=True)


def test_usage_is_told() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "triage_tui.setup.venv"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "usage" in result.stderr
