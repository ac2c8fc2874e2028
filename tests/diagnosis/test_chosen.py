"""A guest that was frozen at a chosen call was frozen at that one, whatever other threads did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json


def opens(seq: int, tid: int) -> Syscall:
    words = ["AT_FDCWD", '"/etc/x"', "0"]
    return Syscall(
        seq=seq, name="openat", pid=2, tid=tid, path="/etc/x", arguments=words, ret=-2, errno="ENOENT"
    )


def sleeps(seq: int, tid: int) -> Syscall:
    return Syscall(seq=seq, name="clock_nanosleep", pid=2, tid=tid, arguments=["0", "0", "0x1000", "0"])


@pytest.mark.parametrize("order", ["after", "before", "both"])
def test_the_headline_names_the_chosen_call(tmp_path: Path, order: str) -> None:
    calls = [Syscall(seq=1, name="clone", pid=2, tid=2, arguments=["CLONE_VM|CLONE_THREAD"], ret=4)]
    if order != "after":
        calls.append(sleeps(2, 4))
    calls.append(opens(3, 2))
    if order != "before":
        calls.append(sleeps(4, 5))
    run = load_run(write_run(tmp_path, calls, reason="syscall", exit_code=None))
    trigger = run.snapshot.trigger
    trigger.pid, trigger.tid, trigger.seq, trigger.syscall_name = 2, 2, 3, "openat"
    (run.dir / "snapshot.json").write_bytes(encode_json(run.snapshot))
    diagnosis = diagnose(load_run(run.dir))
    assert diagnosis.headline.startswith(
        'x (MIPSEL, pid 2) was frozen at openat("/etc/x") = ENOENT, as was wanted. '
    )
