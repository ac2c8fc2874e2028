"""The development tools are installed by uv only where pip would take them from the same index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
case "$*" in
*" config list"*) exec "{python}" "$@" ;;
*) echo "python $*" >> {calls} ;;
esac
"""
UV = """#!/bin/sh
echo "uv $*" >> {calls}
exit {ends}
"""


@pytest.mark.parametrize(
    ("setting", "ends", "tools"),
    [
        ("PIP_TIMEOUT=60", 0, ["pip", "uv"]),
        ("PIP_TIMEOUT=60", 2, ["pip", "uv", "pip"]),
        ("PIP_INDEX_URL=https://pip.example/simple", 0, ["pip"]),
        ("PIP_CONSTRAINT=/nowhere/constraints.txt", 0, ["pip"]),
    ],
)
def test_pip_installs_what_uv_would_take_from_elsewhere_or_does_not_get(
    setting: str, ends: int, tools: list[str], tmp_path: Path
) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    calls = tmp_path / "calls"
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs.parent / ".made").touch()
    for name, text in (("python", PYTHON), ("uv", UV)):
        (programs / name).write_text(text.format(python=sys.executable, calls=calls, ends=ends))
        (programs / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    variable, _, value = setting.partition("=")
    subprocess.run(
        ["make", ".venv/.installed-dev"],
        cwd=tmp_path,
        env={**kept, "PIP_CONFIG_FILE": os.devnull, variable: value},
        check=True,
        capture_output=True,
    )
    assert ["uv" if call.startswith("uv ") else "pip" for call in calls.read_text().splitlines()] == tools
    assert (programs.parent / ".installed-dev").is_file()
