"""Real programs that end over a call that QEMU serves itself: explained, answered by a rule, and past it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import best, triage_here, triage_json

Rootfs = Callable[[str], Path]


def approved(run: dict[str, Any], template: str) -> str:
    """Return the id of the proposal that was made from `template`."""
    found: list[str] = [
        entry["id"] for entry in run["diagnosis"]["proposals"] if entry["template"] == template
    ]
    return found[0]


@pytest.mark.parametrize(
    ("program", "argv", "request_number"),
    [
        ("busybox-armel", ["vconfig", "add", "lan0", "5"], "0x8983"),
        ("busybox-armhf", ["fstrim", "/"], "0xc0185879"),
        ("busybox-arm64", ["vconfig", "add", "lan0", "5"], "0x8983"),
        ("busybox-mipsel", ["fstrim", "/"], "0xc0185879"),
    ],
)
def test_an_ioctl_of_a_driver(
    tmp_path: Path, rootfs: Rootfs, program: str, argv: list[str], request_number: str
) -> None:
    ended = ("run", "--wait", "0.001", "--rootfs", str(rootfs(program)), "/bin/busybox", *argv)
    first = triage_json(tmp_path, *ended)["rounds"][0]
    assert best(first)["cause"] == "unsupported_syscall"
    run = triage_json(tmp_path, "show", first["run_id"])
    done = triage_here(tmp_path, "approve", first["run_id"], approved(run, "ioctl_success"))
    assert done.returncode == 0, done.stderr
    again = triage_json(tmp_path, "retry", first["run_id"])["rounds"][0]
    after = triage_json(tmp_path, "show", again["run_id"])
    answered = [call for call in after["snapshot"]["recent_syscalls"] if call["request"] == request_number]
    assert [(call["ret"], call["intercepted"]) for call in answered] == [(0, True)]
    # The program believes it: nothing is left to complain about.
    assert after["snapshot"]["trigger"]["exit_code"] == 0
    assert again["verdict"]["word"] in ("progressed", "resolved")
