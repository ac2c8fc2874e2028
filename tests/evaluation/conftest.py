"""A cache of its own with one package made of a real program, and files of cases for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from triage_tui.evaluation.packages import packages_dir


@pytest.fixture
def package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qemu_dir: Path, rootfs: Callable[[str], Path]
) -> None:
    """A cache of our own that holds one package, made of a real program."""
    program = rootfs("busybox-armel") / "bin" / "busybox"
    monkeypatch.setenv("TRIAGE_TUI_QEMU_DIR", str(qemu_dir))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "bin").mkdir()
    (tree / "bin" / "busybox").write_bytes(program.read_bytes())
    (tree / "bin" / "busybox").chmod(0o755)
    (tree / "DEBIAN" / "control").write_text(
        "Package: tool\nVersion: 1\nArchitecture: armel\nMaintainer: n <n@example.org>\nDescription: test\n"
    )
    (tree / "DEBIAN" / "postinst").write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    (tree / "DEBIAN" / "postinst").chmod(0o755)
    packages_dir().mkdir(parents=True)
    deb = packages_dir() / "tool_1_armel.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", tree, deb], check=True, capture_output=True)


def corpus(tmp_path: Path, *cases: dict[str, Any]) -> str:
    path = tmp_path / "corpus.yaml"
    path.write_text(yaml.safe_dump(list(cases), sort_keys=False))
    return str(path)
