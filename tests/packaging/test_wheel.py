"""A wheel built from the checkout works without it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.packaging.checkout import ROOT, tracked
from triage_tui import __version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [file] = directory.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a fresh environment with the wheel, borrowing its dependencies from this one."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory)
    bin_directory = directory / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(bin_directory / "python")]
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--no-compile", str(wheel)],
        check=True,
        capture_output=True,
    )
    [packages] = (directory / "lib").glob("python*/site-packages")
    # A directory named in a .pth file joins sys.path after the environment's own, and .pth files in it are
    # not read: the editable install of the checkout stays out of sight.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bin_directory


def _run(program: Path, *arguments: str, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(
        [program, *arguments], cwd=cwd, env=clean, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    assert _run(installed / "triage-tui", "--version", cwd=tmp_path) == f"triage-tui {__version__}\n"


def test_rules_and_themes_are_found_inside_the_installation(installed: Path, tmp_path: Path) -> None:
    code = "from triage_tui.resources import shipped\nfor n in ('rules', 'themes'): print(shipped(n))"
    for line in _run(installed / "python", "-c", code, cwd=tmp_path).splitlines():
        assert Path(line).is_relative_to(installed.parent)
        assert any(Path(line).iterdir())


def test_a_command_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    _run(installed / "triage-tui", "list", "-C", str(tmp_path), cwd=tmp_path)


def test_the_entries_can_be_tried_on_their_cases_where_it_is_installed(
    installed: Path, tmp_path: Path
) -> None:
    assert _run(installed / "triage-tui", "kb", "test", "--failed", cwd=tmp_path) == ""


def test_the_wheel_holds_all_files_of_package_rules_and_themes(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = set(tracked("triage_tui"))
    expected |= {f"triage_tui/_data/{name}" for part in ("rules", "themes") for name in tracked(part)}
    assert expected - names == set()


def test_the_wheel_brings_its_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
