"""Emulators: found in three places, taken from either kind of package, and really static."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup.conftest import Archive
from triage_tui.guest.arch import known_names
from triage_tui.setup import qemu, sources
from triage_tui.setup.apt import Apt


def test_the_emulators_run(qemu_dir: Path) -> None:
    for name in qemu.EMULATORS:
        version = subprocess.run(
            [qemu_dir / f"qemu-{name}-static", "--version"], capture_output=True, text=True
        )
        assert version.stdout.startswith(f"qemu-{name} version")


def test_there_is_an_emulator_for_every_architecture_of_guests() -> None:
    assert set(qemu.EMULATORS) == set(known_names())


def _emulators_in(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name in qemu.EMULATORS:
        (directory / f"qemu-{name}-static").write_bytes(b"#!/bin/sh\n")
        (directory / f"qemu-{name}-static").chmod(0o755)
    return directory


def test_variable_then_path_then_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv(qemu.DIRECTORY_VARIABLE, raising=False)
    assert qemu.find_qemu() is None
    cached = _emulators_in(tmp_path / "triage-tui" / "qemu" / "usr" / "bin")
    assert qemu.find_qemu() == cached
    on_path = _emulators_in(tmp_path / "path")
    assert qemu.find_qemu() == on_path
    named = _emulators_in(tmp_path / "named")
    monkeypatch.setenv(qemu.DIRECTORY_VARIABLE, str(named))
    assert qemu.find_qemu() == named
    (named / "qemu-arm-static").unlink()
    assert qemu.find_qemu() == on_path


@pytest.mark.parametrize("suffix", ["-static", ""])
def test_both_generations_of_packages_give_emulators(
    suffix: str, archive: Archive, qemu_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        f"usr/bin/qemu-{name}{suffix}": (qemu_dir / f"qemu-{name}-static").read_bytes()
        for name in qemu.EMULATORS
    }
    files["usr/bin/qemu-unwanted"] = b""
    archive.add("qemu-user-static", files if suffix else {"usr/share/doc/qemu-user-static/README": b"moved"})
    if not suffix:
        archive.add("qemu-user", files)
    path = tmp_path / "path"
    path.mkdir()
    for directory in map(Path, os.get_exec_path()):
        for program in directory.iterdir() if os.access(directory, os.R_OK) else ():
            if not program.name.startswith("qemu-") and not (path / program.name).is_symlink():
                (path / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(qemu.DIRECTORY_VARIABLE, raising=False)
    # The archive of this test instead of the host's: the one thing that is replaced.
    monkeypatch.setattr(
        sources, "_host_archive", lambda cache, names: Apt(cache / "apt" / "host", names, archive.source)
    )
    directory = qemu.ensure_qemu()
    for name in qemu.EMULATORS:
        emulator = directory / f"qemu-{name}-static"
        assert subprocess.run([emulator, "--version"], capture_output=True, check=True).stdout
    assert not (directory / "qemu-unwanted").exists()
    shutil.rmtree(archive.directory)
    assert qemu.ensure_qemu() == directory


def test_a_dynamic_program_is_not_taken_for_a_static_one(qemu_dir: Path) -> None:
    assert qemu._is_static((qemu_dir / "qemu-arm-static").resolve())
    assert not qemu._is_static(Path(shutil.which("dpkg-deb") or sys.executable).resolve())
    assert not qemu._is_static(Path(__file__))
