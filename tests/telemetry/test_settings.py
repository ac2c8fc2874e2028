"""Variables of the environment that name something unusable: by doctor and by run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.commands import triage
from tests.programs import build
from triage_tui.telemetry.settings import unusable_settings

QEMU_DIR = "TRIAGE_TUI_QEMU_DIR"
UNUSABLE = [
    (QEMU_DIR, "/proc/nonexistent", "names /proc/nonexistent, which does not exist"),
    (QEMU_DIR, "/proc/self/status", "names /proc/self/status, which is no directory"),
    (QEMU_DIR, "/proc/self", "names /proc/self, where no emulator can be found"),
    (
        "TRIAGE_TUI_RULES",
        "/proc/nonexistent",
        "the knowledge base directory /proc/nonexistent does not exist",
    ),
    ("TRIAGE_TUI_CARRIER", "pigeon", "must be one of auto, notify, trace, not 'pigeon'"),
    ("TRIAGE_TUI_CAPTURE_SIZE", "much", "'much' is no size"),
    ("TRIAGE_TUI_CAPTURES_PER_MINUTE", "-3", "'-3' is no number of captures: give 0 (no limit) or more"),
    ("TRIAGE_TUI_DISK", "1 parsec", "'1 parsec' is no size"),
    ("TRIAGE_TUI_LANG", "tlh", "there is no language 'tlh'; known are en, zh"),
]


@pytest.mark.parametrize(("variable", "value", "what"), UNUSABLE)
def test_a_run_names_an_unusable_variable(
    tmp_path: Path, qemu_dir: Path, variable: str, value: str, what: str
) -> None:
    done = triage(tmp_path, "run", "--wait", "1", str(build("calls", "arm")), env={variable: value})
    assert done.returncode == 2
    # One sentence, and before the guest was run.
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"triage-tui: {variable}")
    assert what in line
    assert not list((tmp_path / "ai_runs").iterdir() if (tmp_path / "ai_runs").exists() else [])


@pytest.mark.parametrize(("variable", "value", "what"), UNUSABLE)
def test_it_is_known_among_all_variables(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, what: str
) -> None:
    monkeypatch.setenv(variable, value)
    ((found, why),) = unusable_settings().items()
    assert found == variable
    assert what in why


def test_doctor_names_each_and_what_mends_it(tmp_path: Path, qemu_dir: Path) -> None:
    wrong = {variable: (value, what) for variable, value, what in UNUSABLE}
    done = triage(tmp_path, "doctor", "--json", env={name: value for name, (value, _) in wrong.items()})
    checks = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    for variable, (_, what) in wrong.items():
        check = checks.pop(f"variable {variable}")
        assert what in check["found"]
        assert (check["grade"], check["mend"], check["needed"]) == ("missing", f"unset {variable}", True)
        assert check["cost"]
    assert not [name for name in checks if name.startswith("variable ")]
    # The emulators that there are without it are named all the same.
    assert "qemu-arm-static" in checks["emulator arm"]["found"]
    assert done.returncode == 1
