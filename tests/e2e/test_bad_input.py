"""Bad input gets one clear sentence and a non-zero exit code, and loses nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import activate_unchecked, best, triage, triage_here, triage_json
from tests.runs.build import write_run

Rootfs = Callable[[str], Path]


def one_sentence(text: str) -> str:
    """Return the one line of complaint; there is no other and no traceback."""
    lines = [line for line in text.splitlines() if line]
    assert len(lines) == 1, text
    assert lines[0].startswith("triage-tui: ")
    assert "Traceback" not in text
    return lines[0]


@pytest.mark.parametrize(("content", "says"), [("hello", "ELF"), ("", "ELF"), ("#!/bin/sh\n", "is a script")])
def test_not_an_elf(tmp_path: Path, content: str, says: str) -> None:
    program = tmp_path / "program"
    program.write_text(content)
    done = triage_here(tmp_path, "run", str(program))
    assert done.returncode == 2
    assert says in one_sentence(done.stderr)


@pytest.mark.parametrize(
    "content", [b"\x7fELF", b"\x7fELF" + bytes(60), b"\x7fELF\x01\x01\x01" + b"\xff" * 300]
)
def test_a_broken_elf(tmp_path: Path, content: bytes) -> None:
    program = tmp_path / "broken"
    program.write_bytes(content)
    program.chmod(0o755)
    done = triage_here(tmp_path, "run", str(program))
    assert done.returncode == 2
    one_sentence(done.stderr)


def test_a_program_that_begins_outside_of_itself(tmp_path: Path, rootfs: Rootfs) -> None:
    content = bytearray((rootfs("busybox-armhf") / "bin/busybox").read_bytes())
    content[24:28] = (0xDEADBEEF).to_bytes(4, "little")
    program = tmp_path / "program"
    program.write_bytes(content)
    program.chmod(0o755)
    done = triage_here(tmp_path, "run", str(program))
    assert done.returncode == 2
    assert "begins at 0xdeadbeef" in one_sentence(done.stderr)


def test_an_unknown_architecture(tmp_path: Path) -> None:
    program = tmp_path / "sparc"
    header = b"\x7fELF\x01\x02\x01" + bytes(9) + b"\x00\x02\x00\x02\x00\x00\x00\x01" + bytes(8)
    program.write_bytes(header + bytes(200))
    done = triage_here(tmp_path, "run", str(program))
    assert done.returncode == 2
    one_sentence(done.stderr)


def test_no_such_program(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    done = triage(tmp_path, "run", "--rootfs", str(tmp_path / "root"), "/sbin/nothing")
    assert done.returncode == 2
    assert "/sbin/nothing" in one_sentence(done.stderr)


def test_no_root_file_system(tmp_path: Path) -> None:
    done = triage_here(tmp_path, "run", "--rootfs", str(tmp_path / "missing"), "/bin/x")
    assert done.returncode == 2
    assert "missing" in one_sentence(done.stderr)


def test_a_dynamic_program_without_its_root(tmp_path: Path, rootfs: Rootfs) -> None:
    done = triage_here(tmp_path, "run", str(rootfs("xl2tpd-arm64") / "usr/sbin/xl2tpd"))
    assert done.returncode == 2
    assert "--rootfs" in one_sentence(done.stderr)


def test_the_root_given_behind_the_program(tmp_path: Path, rootfs: Rootfs) -> None:
    root = rootfs("xl2tpd-arm64")
    done = triage_here(tmp_path, "run", str(root / "usr/sbin/xl2tpd"), "--rootfs", str(root))
    assert done.returncode == 2
    assert "put it in front" in one_sentence(done.stderr)


def test_no_qemu(tmp_path: Path, rootfs: Rootfs) -> None:
    root = rootfs("busybox-mipsel")
    env = {"PATH": "/nonexistent", "XDG_CACHE_HOME": str(tmp_path / "empty"), "TRIAGE_TUI_QEMU_DIR": ""}
    done = triage(tmp_path, "run", "--rootfs", str(root), "/bin/busybox", "true", env=env)
    assert done.returncode == 2
    assert "qemu" in one_sentence(done.stderr).lower()


def test_no_such_run(tmp_path: Path) -> None:
    for arguments in (
        ["show", "last"],
        ["approve", "nothing"],
        ["rollback", "x"],
        ["retry", "../.."],
        ["decide", "x", "end"],
    ):
        done = triage_here(tmp_path, *arguments)
        assert done.returncode == 2
        one_sentence(done.stderr)


def test_an_unreadable_run(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "ai_runs")
    (run_dir / "snapshot.json").write_bytes(b'{"run_id": "x", "reason"')
    done = triage_here(tmp_path, "show", "last")
    assert done.returncode == 2
    assert "not valid JSON" in one_sentence(done.stderr)
    listed = triage_here(tmp_path, "list")
    assert listed.returncode == 0
    assert run_dir.name in listed.stdout


def test_a_rule_with_a_syntax_error_is_not_approved(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "ai_runs")
    rule = run_dir / "rules_patch" / "fix" / "syscall" / "openat.lua"
    rule.parent.mkdir(parents=True)
    rule.write_text("-- triage-rule: 1\n-- id: fix-openat-1\nfunction do_syscall(num\n")
    done = triage_here(tmp_path, "approve", "last", "fix/syscall/openat.lua")
    assert done.returncode == 2
    assert "openat.lua" in one_sentence(done.stderr)
    assert not (tmp_path / "rulebook").exists()
    assert triage_json(tmp_path, "show", "last")["state"] == "captured"


ENDLESS = """-- triage-rule: 1
-- id: fix-openat-endless
-- run: 20260101_000000_00000001
-- target: x
-- intent: never ends
-- match: openat
-- hit-limit: 100
-- effect: none
-- risk: high
-- inverse: remove the rule
-- template: hand-written

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  while true do end
end
"""


def test_a_rule_that_never_ends_costs_the_rule_and_not_the_run(tmp_path: Path, rootfs: Rootfs) -> None:
    arguments = ["--rootfs", str(rootfs("busybox-mipsel")), "/bin/busybox", "cat", "/no/such/file"]
    first = triage_json(tmp_path, "run", "--policy", "auto", "--rounds", "1", *arguments)["rounds"][0]
    rule = tmp_path / "ai_runs" / first["run_id"] / "rules_patch" / "fix" / "syscall" / "openat.lua"
    name = triage_json(tmp_path, "show", "last")["patch_files"]
    syscall = Path(next(entry for entry in name if entry.startswith("fix/"))).stem.partition("@")[0]
    rule = rule.with_name(f"{syscall}.lua")
    rule.write_text(ENDLESS.replace("openat", syscall))
    done = triage_here(tmp_path, "approve", first["run_id"], f"fix/syscall/{syscall}.lua")
    assert done.returncode == 2
    assert "this loop ends only by the budget" in one_sentence(done.stderr)
    activate_unchecked(tmp_path, first["run_id"], rule)
    again = triage_json(tmp_path, "retry", first["run_id"])["rounds"][0]
    assert again["reason"] == "exit"
    assert best(again)["cause"] == "missing_file"
    hits = triage_json(tmp_path, "show", "last")["snapshot"]["rule_hits"]
    assert [entry["rule"] for entry in hits if entry["disabled"]] == [f"fix-{syscall}-endless"]


def test_a_root_file_system_that_is_no_directory(tmp_path: Path) -> None:
    done = triage_here(tmp_path, "run", "--rootfs", "/dev/null", "/bin/x")
    assert done.returncode == 2
    one_sentence(done.stderr)


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["show"], ["--bogus"], ["list", "--bogus"]])
def test_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    done = triage_here(tmp_path, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_app_without_a_terminal(tmp_path: Path) -> None:
    done = triage(tmp_path, "ui")
    assert done.returncode == 2
    assert "terminal" in one_sentence(done.stderr)


def test_a_retry_from_elsewhere_finds_a_program_that_was_named_relatively(
    tmp_path: Path, rootfs: Rootfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rootfs("busybox-armhf"))
    odd = os.fsdecode(b"/no such\n\x1b[31m\xff")
    triage(tmp_path, "run", "--policy", "auto", "--rounds", "1", "--rootfs", ".", "/bin/busybox", "cat", odd)
    monkeypatch.chdir(tmp_path)
    (again,) = triage_json(tmp_path, "retry", "last")["rounds"]
    assert again["verdict"]["word"] == "sideways"
    shown = triage_json(tmp_path, "show", "last")
    assert shown["snapshot"]["target"]["argv"][-1] == "/no such\n\x1b[31m\\xff"


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null"])
def test_a_workspace_that_cannot_be_written(rootfs: Rootfs, place: str) -> None:
    root = rootfs("busybox-armhf")
    done = triage_here(Path(place), "run", "--rootfs", str(root), "/bin/busybox", "true")
    assert done.returncode == 2
    assert place in one_sentence(done.stderr)
