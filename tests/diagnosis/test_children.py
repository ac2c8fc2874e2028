"""A child that died of a fault is no sign of health, though its parent goes on and ends well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run


def parent_of(directory: Path, *child: Syscall) -> Diagnosis:
    calls = [
        Syscall(seq=1, name="fork", pid=2, ret=4),
        *child,
        Syscall(seq=8, name="wait4", pid=2, arguments=["-1"], ret=4),
        Syscall(seq=9, name="exit_group", pid=2, arguments=["0"]),
    ]
    return diagnose(load_run(write_run(directory, calls, exit_code=0)))


@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGABRT"])
def test_a_crashed_child_is_mentioned_and_counts(tmp_path: Path, signal: str) -> None:
    note = f"then {signal} was delivered"
    ended = Syscall(seq=3, name="exit_group", pid=4, arguments=["0"])
    well = parent_of(tmp_path, Syscall(seq=2, name="brk", pid=4, ret=1, note=note), ended)
    crashed = parent_of(tmp_path, Syscall(seq=2, name="brk", pid=4, ret=1, note=note))
    assert f"died of {signal}" in crashed.headline
    assert "died of" not in well.headline
    assert crashed.hypotheses[0].confidence < well.hypotheses[0].confidence - 0.2
