"""What is said of this machine, as it is and with parts taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.e2e.commands import command, triage
from tests.programs import build
from triage_tui.telemetry.checks import Check
from triage_tui.telemetry.doctor import examine, exit_code, schema
from triage_tui.telemetry.kernel import (
    CELL,
    NOTIFICATION,
    TRACING,
    cell_features,
    notification_features,
    tracing_features,
)

ROOT = Path(__file__).resolve().parents[2]

_LISTENED_TO = """
import os, sys
from triage_tui.guest.host import seccomp
fd = seccomp.install(seccomp.program([], 1 << 20))
os.set_inheritable(fd, True)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Executes a command under a seccomp listener, as container managers that intercept system calls do."""


def under_a_listener(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _LISTENED_TO, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def by_name(output: str) -> dict[str, Any]:
    return {check["name"]: check for check in map(json.loads, output.splitlines())}


def test_what_the_tests_need_is_there_and_said(qemu_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_TUI_QEMU_DIR", str(qemu_dir))
    checks = {check.name: check for check in examine()}
    assert [name for name, check in checks.items() if check.grade == "missing"] == []
    for name in ("emulator arm", "emulator aarch64", "emulator mipsel"):
        assert checks[name].grade == "ok"
        assert "qemu-" in checks[name].found
    assert checks["carrier"].found.startswith("seccomp user notification")
    assert "run --exec refuse" in checks["executed programs"].found
    assert "Lua 5.3" in checks["rule host"].found
    assert exit_code(checks.values()) == 0


def test_what_is_missing_is_named_with_its_cost_and_what_mends_it(tmp_path: Path) -> None:
    env = {"PATH": "/nonexistent", "XDG_CACHE_HOME": str(tmp_path), "TRIAGE_TUI_QEMU_DIR": ""}
    done = triage(tmp_path, "doctor", env=env)
    assert done.returncode == 1
    assert "missing  emulator arm: none" in done.stdout
    assert "mend it with: triage-tui setup" in done.stdout
    assert "limited  debugger: none" in done.stdout
    assert "Traceback" not in done.stderr


def test_each_line_follows_the_published_schema(tmp_path: Path) -> None:
    done = triage(tmp_path, "doctor", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) > 10
    for line in lines:
        jsonschema.validate(line, schema())
        # What is not as it should be says what that costs.
        assert line["grade"] == "ok" or line["cost"]
    published = ROOT / "docs" / "schemas" / "doctor.schema.json"
    assert json.loads(published.read_text()) == schema()


def test_the_kernel_of_the_tests_has_all_that_is_used() -> None:
    assert notification_features().keys() == set(NOTIFICATION)
    assert {name: why for name, why in notification_features().items() if why} == {}
    assert tracing_features() == dict.fromkeys(TRACING, "")
    assert cell_features() == dict.fromkeys(CELL, "")


def test_another_listener_in_the_way_is_recognized(tmp_path: Path) -> None:
    done = under_a_listener(*command(tmp_path, "doctor", "--json"))
    assert done.returncode == 0, done.stderr
    checks = by_name(done.stdout)
    interception = checks["syscall interception"]
    assert interception["grade"] == "limited"
    assert "another program already listens" in interception["cost"]
    assert checks["carrier"]["grade"] == "limited"
    assert checks["carrier"]["found"].startswith("seccomp with ptrace")
    assert checks["containment"]["grade"] == "ok"


def test_a_run_under_another_listener_is_traced_and_says_so(tmp_path: Path, qemu_dir: Path) -> None:
    program = str(build("calls", "arm"))
    done = under_a_listener(*command(tmp_path, "run", "--wait", "1", program))
    assert "no notifications: another program already listens" in done.stdout + done.stderr
    (run,) = (path for path in (tmp_path / "ai_runs").iterdir() if path.is_dir())
    engine = json.loads((run / "snapshot.json").read_text())["engine"]
    assert engine["carrier"] == "seccomp-trace"


def test_notifications_that_were_asked_for_are_not_replaced(tmp_path: Path, qemu_dir: Path) -> None:
    done = under_a_listener(*command(tmp_path, "run", "--carrier", "notify", str(build("calls", "arm"))))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no seccomp notifications: another program already listens" in line
    assert not (tmp_path / "ai_runs").exists() or not list((tmp_path / "ai_runs").iterdir())


def test_one_emulator_is_enough_and_what_is_needed_is_needed() -> None:
    one = Check(name="emulator arm", grade="ok", found="")
    none = Check(name="emulator mips", grade="missing", found="")
    assert exit_code([one, none]) == 0
    assert exit_code([none]) == 1
    assert exit_code([one, Check(name="x", grade="missing", found="")]) == 0
    assert exit_code([one, Check(name="x", grade="missing", found="", needed=True)]) == 1
    assert exit_code([one, Check(name="x", grade="limited", found="", needed=True)]) == 0
