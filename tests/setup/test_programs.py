"""The programs of demo and tests: a manifest that holds, root file systems that are what they say."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from triage_tui.errors import TriageError
from triage_tui.guest.spec import open_in_root
from triage_tui.setup import demo_programs, ensure_program, known_programs

_MACHINES = {
    "armel": "EM_ARM",
    "armhf": "EM_ARM",
    "arm64": "EM_AARCH64",
    "mipsel": "EM_MIPS",
    "mips64el": "EM_MIPS",
    "i386": "EM_386",
    "s390x": "EM_S390",
}


def test_the_demo_has_two_triggers_and_three_architectures() -> None:
    programs = demo_programs()
    architectures = {spec.partition(":")[2] for program in programs for spec in program.packages}
    assert architectures >= {"mipsel", "arm64", "armel"}
    assert [program.demo for program in programs] == list(range(1, len(programs) + 1))
    assert all(program.why.endswith(".") for program in known_programs().values())


_GUESTS = sorted(name for name, program in known_programs().items() if ":" in program.packages[0])
"""All but what the tests run on the host itself."""


@pytest.mark.parametrize("name", _GUESTS)
def test_the_program_lies_in_its_root_for_its_architecture(name: str, rootfs: Callable[[str], Path]) -> None:
    program = known_programs()[name]
    root = rootfs(name)
    with (root / program.argv[0].lstrip("/")).open("rb") as file:
        elf = ELFFile(file)
        assert elf["e_machine"] == _MACHINES[program.packages[0].partition(":")[2]]
        interpreters = [segment.data().rstrip(b"\0").decode() for segment in elf.iter_segments("PT_INTERP")]
    for interpreter in interpreters:
        os.close(open_in_root(root, interpreter))


def test_an_unpacked_program_needs_no_registry(
    rootfs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rootfs("busybox-mipsel")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert ensure_program("busybox-mipsel") == first


def test_an_unknown_program_is_answered_with_the_names() -> None:
    with pytest.raises(TriageError, match=r"choose one of .*udhcpc-mipsel"):
        ensure_program("nosuchthing")


def test_interrupting_leaves_nothing_half_made(qemu_dir: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as registry:
        proxy = f"http://127.0.0.1:{registry.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "triage_tui.setup"],
            env=os.environ
            | {
                "XDG_CACHE_HOME": str(tmp_path),
                "TRIAGE_TUI_QEMU_DIR": str(qemu_dir),
                "http_proxy": proxy,
                "https_proxy": proxy,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        # The registry that never answers: once apt has called, the set-up is in the middle of its work.
        connection, _ = registry.accept()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate()
        connection.close()
    assert process.returncode == 130
    assert said.count("\n") == 1
    assert "interrupted" in said
    assert not list((tmp_path / "triage-tui").glob("tmp-*"))
    for survivor in _alive_in_group(process.pid):
        # Told to end by the same signal; the kernel reports when it has.
        assert select.select([survivor], [], [], 30)[0], "a process of the set-up goes on"
        os.close(survivor)


def _alive_in_group(group: int) -> list[int]:
    """Process descriptors of the processes of a group that have not ended (proc(5), stat)."""
    alive = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                alive.append(os.pidfd_open(int(entry.name)))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return alive
