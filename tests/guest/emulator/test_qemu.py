"""Which emulator is taken, and what is said of a directory that cannot be meant."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

from tests.guest.test_exhausted_supervisor import leave
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.emulator.qemu import find_qemu, qemu_version


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qemu_dir: Path) -> Path:
    """A directory that the environment names; usable emulators are in PATH."""
    directory = tmp_path / "given"
    monkeypatch.setenv("TRIAGE_TUI_QEMU_DIR", str(directory))
    monkeypatch.setenv("PATH", str(qemu_dir))
    return directory


def test_the_directory_that_was_given_comes_first(given: Path, qemu_dir: Path) -> None:
    given.mkdir()
    # By its second name too, which emulators have since QEMU 9.1.
    shutil.copy(qemu_dir / "qemu-arm-static", given / "qemu-arm")
    assert find_qemu(by_name("arm")) == given / "qemu-arm"
    # What it does not have is looked for elsewhere.
    assert find_qemu(by_name("mips")).parent == (qemu_dir / "qemu-mips-static").resolve().parent
    assert qemu_version(given / "qemu-arm") == qemu_version(qemu_dir / "qemu-arm-static")


def test_a_directory_that_cannot_be_meant_is_not_passed_over(given: Path) -> None:
    with pytest.raises(TriageError, match="given, which does not exist"):
        find_qemu(by_name("arm"))
    given.write_bytes(b"")
    with pytest.raises(TriageError, match="given, which is no directory"):
        find_qemu(by_name("arm"))
    given.unlink()
    given.mkdir()
    with pytest.raises(TriageError, match="given, where no emulator can be found"):
        find_qemu(by_name("arm"))


def test_an_emulator_that_cannot_be_used_is_not_passed_over(given: Path, qemu_dir: Path) -> None:
    given.mkdir()
    emulator = given / "qemu-arm-static"
    shutil.copy(qemu_dir / "qemu-arm-static", emulator)
    emulator.chmod(0o644)
    with pytest.raises(TriageError, match="qemu-arm-static there is not executable"):
        find_qemu(by_name("arm"))
    emulator.write_text("#!/bin/sh\n")
    emulator.chmod(0o755)
    with pytest.raises(TriageError, match="is no statically linked program"):
        find_qemu(by_name("arm"))
    shutil.copy(qemu_dir / "qemu-arm-static", given / "qemu-arm")
    assert find_qemu(by_name("arm")) == given / "qemu-arm"


def test_an_emulator_that_cannot_be_looked_at_is_not_called_dynamically_linked(qemu_dir: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    leave(0)
    try:
        with pytest.raises(TriageError, match="qemu-arm-static cannot be looked at: Too many open files"):
            find_qemu(by_name("arm"), qemu_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
