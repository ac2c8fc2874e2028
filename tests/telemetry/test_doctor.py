from pathlib import Path

import pytest

from tests.e2e.commands import triage
from triage_tui.telemetry.doctor import examine


def test_what_the_tests_need_is_there_and_said(qemu_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_TUI_QEMU_DIR", str(qemu_dir))
    checks = {check.name: check for check in examine()}
    assert [name for name, check in checks.items() if check.grade == "missing" and name != "emulator"] == []
    for name in ("emulator arm", "emulator aarch64", "emulator mipsel"):
        assert checks[name].grade == "ok"
        assert "qemu-" in checks[name].found


def test_what_is_missing_is_named_with_its_cost(tmp_path: Path) -> None:
    env = {"PATH": "/nonexistent", "XDG_CACHE_HOME": str(tmp_path), "TRIAGE_TUI_QEMU_DIR": ""}
    done = triage(tmp_path, "doctor", env=env)
    assert done.returncode == 1
    assert "missing  emulator arm: none" in done.stdout
    assert "Traceback" not in done.stderr
