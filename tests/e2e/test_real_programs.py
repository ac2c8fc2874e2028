"""Unmodified programs of several architectures: each is frozen for the right reason and explained."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import best, processes_with_variable, triage_json

CASES: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("real_programs.toml").read_text(encoding="utf-8")
)

EMULATED = {"armel": "arm", "armhf": "arm", "arm64": "aarch64"} | {
    name: name for name in ("mipsel", "mips64el", "i386", "s390x")
}
"""Debian's name of an architecture -> the emulator's."""


def prepare(case: dict[str, Any], rootfs: Callable[[str], Path], into: Path) -> Path:
    """Return the case's root file system: the shared one, or a copy with what the case adds."""
    shared = rootfs(case["rootfs"])
    if not case.keys() & {"files", "links"}:
        return shared
    root = into / "root"
    shutil.copytree(shared, root, symlinks=True)
    for path, text in case.get("files", {}).items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    for path, target in case.get("links", {}).items():
        (root / path.lstrip("/")).symlink_to(target)
    return root


def options(case: dict[str, Any], into: Path) -> list[str]:
    words = ["--policy", "auto", "--rounds", "1", "--user", str(case.get("user", 0))]
    if "idle" in case["reasons"]:
        words += ["--idle", "2"]
    words += [f"--qemu-arg={word}" for word in case.get("qemu_args", [])]
    if "stdin" in case:
        (into / "stdin").write_text(case["stdin"], newline="")
        words += ["--stdin", str(into / "stdin")]
    return words


@pytest.mark.parametrize("name", CASES)
def test_is_frozen_and_explained(name: str, rootfs: Callable[[str], Path], tmp_path: Path) -> None:
    case = CASES[name]
    root = prepare(case, rootfs, tmp_path)
    argv = case["argv"]
    mark = ("TRIAGE_TEST", str(tmp_path))
    words = [*options(case, tmp_path), "--env", "=".join(mark), "--rootfs", str(root)]
    story = triage_json(tmp_path / "w", "run", *words, *argv)
    first = story["rounds"][0]
    assert first["reason"] in case["reasons"]
    assert best(first)["cause"] in case["causes"]
    assert first["diagnosis"]["healthy"] is case.get("healthy", False)
    assert case["says"] in first["diagnosis"]["headline"]

    shown = triage_json(tmp_path / "w", "show", first["run_id"])
    links = [evidence for each in first["diagnosis"]["hypotheses"] for evidence in each["evidence"]]
    assert all(evidence["supported"] for evidence in links)
    snapshot = shown["snapshot"]
    assert snapshot["target"]["arch"] == EMULATED[case["rootfs"].rpartition("-")[2]]
    if first["reason"] != "signal":
        assert snapshot["recent_syscalls"]
    assert snapshot["regs"]
    assert snapshot["backtrace"]["frames"]
    assert not processes_with_variable(*mark), "something of the guest was left behind"
