"""A thread that waits must not make a spinning program look well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.model import Loop, Syscall
from triage_tui.runs.reader import load_run


def spinning(waiter: Syscall) -> list[Syscall]:
    reads = [
        Syscall(seq=seq, name="read", pid=2, arguments=["3", "0x1000", "8096"], ret=0)
        for seq in range(3, 303)
    ]
    opened = Syscall(seq=1, name="openat", pid=2, arguments=["AT_FDCWD", '"/proc/kmsg"', "O_RDONLY"], ret=3)
    return [opened, waiter, *reads]


@pytest.mark.parametrize(
    "waiter",
    [
        Syscall(seq=2, name="pselect6", pid=2, arguments=["0", "0"]),
        Syscall(seq=2, name="read", pid=2, arguments=["0", "0x2000", "1"]),
        Syscall(seq=2, name="futex", pid=2, arguments=["0x2000", "FUTEX_WAIT", "0"]),
    ],
    ids=["sleeping thread", "thread at stdin", "thread at a lock"],
)
def test_a_loop_that_neither_pauses_nor_waits_is_not_healthy(tmp_path: Path, waiter: Syscall) -> None:
    loop = Loop(period=1, repeats=300, first_seq=3, last_seq=302, names=["read"])
    run = load_run(write_run(tmp_path, spinning(waiter), reason="loop", exit_code=None, loop=loop))
    diagnosis = diagnose(run)
    assert not diagnosis.healthy
    assert diagnosis.hypotheses[0].cause == "spin_or_lock"


def test_select_without_descriptors_is_no_wait_for_input(tmp_path: Path) -> None:
    sleeper = Syscall(seq=1, name="pselect6", pid=2, arguments=["0", "0"])
    diagnosis = diagnose(load_run(write_run(tmp_path, [sleeper], reason="idle", exit_code=None)))
    assert not any("standard input" in hypothesis.title for hypothesis in diagnosis.hypotheses)


def test_a_program_at_its_standard_input_is_healthy(tmp_path: Path) -> None:
    reader = Syscall(seq=1, name="read", pid=2, arguments=["0", "0x2000", "1"])
    diagnosis = diagnose(load_run(write_run(tmp_path, [reader], reason="idle", exit_code=None)))
    assert diagnosis.healthy
