"""What is said where a package that this program is built on is missing or broken."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from tests.programs import build
from tests.telemetry.installed import ROOT, installation, triage_of
from triage_tui.telemetry.dependencies import DEPENDENCIES, Dependency, lacking
from triage_tui.telemetry.doctor import schema


def test_all_dependencies_are_known_and_here() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = text[text.index("\ndependencies = [") : text.index("\n]", text.index("\ndependencies = ["))]
    assert {one.package for one in DEPENDENCIES} == set(re.findall(r'"([\w-]+)[<>=]', listed))
    assert lacking() == []


ALONE = ("msgspec", "google-re2", "pyyaml", "lupa")
"""What doctor itself uses: each is missing in an installation of its own, all others at once."""
MISSING = [
    *([one] for one in ALONE),
    [one.package for one in DEPENDENCIES if one.needed and one.package not in ALONE],
    [one.package for one in DEPENDENCIES if not one.needed and one.package not in ALONE],
]


@pytest.mark.parametrize("packages", MISSING, ids=[*ALONE, "other-needed", "others"])
def test_doctor_names_what_is_missing_its_cost_and_its_mend(tmp_path: Path, packages: list[str]) -> None:
    modules = {one.package: one.module.partition(".")[0] for one in DEPENDENCIES}
    python = installation(tmp_path / "venv", *(modules[package] for package in packages))
    done = triage_of(python, tmp_path, "doctor", "--json")
    assert "internal error" not in done.stderr
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    for check in checks:
        jsonschema.validate(check, schema())
    by_name = {check["name"]: check for check in checks if check["name"].startswith("Python package")}
    assert by_name.keys() == {f"Python package {package}" for package in packages}
    for package in packages:
        found = by_name[f"Python package {package}"]
        assert (found["grade"], found["found"]) == ("missing", "none")
        assert found["cost"]
        assert found["mend"].startswith(f"pip install '{package}")
    needed = {one.package for one in DEPENDENCIES if one.needed}
    assert done.returncode == int(not needed.isdisjoint(packages))
    # What does not depend on it is examined all the same.
    assert ("emulator arm" in {check["name"] for check in checks}) == ("msgspec" not in packages)


def test_doctor_names_what_is_broken(tmp_path: Path) -> None:
    broken = "raise ImportError('libcapstone.so.5: cannot open shared object file')"
    python = installation(tmp_path / "venv", "capstone", broken=broken)
    done = triage_of(python, tmp_path, "doctor")
    assert done.returncode == 1
    assert done.stdout.count("missing  ") == 1
    assert "Python package capstone: ImportError: libcapstone.so.5: cannot open" in done.stdout
    assert "mend it with: pip install --force-reinstall 'capstone" in done.stdout
    assert done.stderr == ""


def test_a_package_that_ends_python_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deadly.py").write_text("import os\nprint('[1]', flush=True)\nos.kill(os.getpid(), 9)\n")
    (tmp_path / "sound.py").write_text("")
    (tmp_path / "faulty.py").write_text("1 +\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = ("deadly", "sound", "faulty", "absent")
    found = lacking([Dependency(name, name, "") for name in names])
    assert [(one.dependency.package, one.why.partition(":")[0]) for one in found] == [
        ("deadly", "its import ended Python with -9"),
        ("faulty", "SyntaxError"),
        ("absent", "none"),
    ]


def test_a_command_that_needs_it_says_so_in_one_sentence(tmp_path: Path, qemu_dir: Path) -> None:
    python = installation(tmp_path / "venv", "elftools")
    done = triage_of(python, tmp_path, "run", "--wait", "1", str(build("calls", "arm")))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("triage-tui: the Python package pyelftools is missing, so `run` cannot work: pip")
    assert not (tmp_path / "ai_runs").exists()
