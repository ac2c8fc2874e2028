"""A run's proposed rules: read and written inside the run only, whatever its directory holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.rulebook import patches, rulefile


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    for place in ("fix", "observe"):
        (run / "rules_patch" / place / "syscall").mkdir(parents=True)
    return run


def test_rules_are_listed_read_and_written(run_dir: Path) -> None:
    patches.write_rule(run_dir, "fix/syscall/openat.lua", b"one")
    patches.write_rule(run_dir, "observe/syscall/ioctl@watch-1.lua", b"two")
    patches.write_rule(run_dir, "syscall/close.lua", b"old form")
    (run_dir / "rules_patch" / "fix" / "syscall" / "README.md").write_text("no rule")
    assert patches.list_rules(run_dir) == [
        "fix/syscall/openat.lua",
        "observe/syscall/ioctl@watch-1.lua",
        "syscall/close.lua",
    ]
    assert patches.read_rule(run_dir, "fix/syscall/openat.lua") == b"one"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "fix/syscall/../../../etc/passwd",
        "/etc/passwd",
        "fix/syscall/x/../openat.lua",
        "fix/syscall/..././..././x.lua",
        "fix/syscall/openat.lua\0",
        "fix/syscall/OPEN.lua",
        "fix/syscall/a b.lua",
        "fix/openat.lua",
        "other/syscall/openat.lua",
        "fix/syscall/openat.lua/",
        "fix/syscall/openat.lua\n",
    ],
)
def test_other_names_are_refused(run_dir: Path, name: str) -> None:
    for call in (lambda: patches.read_rule(run_dir, name), lambda: patches.write_rule(run_dir, name, b"x")):
        with pytest.raises(TriageError, match="no rule file"):
            call()


def test_links_that_lead_out_are_refused(run_dir: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "openat.lua").write_text("secret")
    place = run_dir / "rules_patch" / "fix" / "syscall"
    place.rmdir()
    place.symlink_to(outside)
    os.symlink(outside / "openat.lua", run_dir / "rules_patch" / "observe" / "syscall" / "openat.lua")
    for name in ("fix/syscall/openat.lua", "observe/syscall/openat.lua"):
        with pytest.raises(TriageError):
            patches.read_rule(run_dir, name)
        with pytest.raises(TriageError):
            patches.write_rule(run_dir, name, b"x")
    assert (outside / "openat.lua").read_text() == "secret"
    assert "fix/syscall/openat.lua" not in patches.list_rules(run_dir)


def test_what_is_no_plain_file_is_refused_and_never_waited_for(run_dir: Path) -> None:
    os.mkfifo(run_dir / "rules_patch" / "fix" / "syscall" / "openat.lua")
    with open(run_dir / "rules_patch" / "fix" / "syscall" / "ioctl.lua", "wb") as sparse:
        sparse.truncate(1 << 40)
    for name in ("fix/syscall/openat.lua", "fix/syscall/ioctl.lua", "fix/syscall/missing.lua"):
        with pytest.raises(TriageError):
            patches.read_rule(run_dir, name)
    with pytest.raises(TriageError):
        patches.write_rule(run_dir, "fix/syscall/open.lua", bytes(rulefile.MAX_RULE_BYTES + 1))


def test_a_run_without_patches_lists_nothing(tmp_path: Path) -> None:
    assert patches.list_rules(tmp_path) == []


def test_the_name_in_a_generation_comes_from_syscall_and_id() -> None:
    source = rulefile.compose(rulefile.RuleHeader(id="fix-1"), b"")
    assert patches.active_name("fix/syscall/openat.lua", source) == "syscall/openat@fix-1.lua"
    assert patches.active_name("fix/syscall/openat@other.lua", source) == "syscall/openat@fix-1.lua"
