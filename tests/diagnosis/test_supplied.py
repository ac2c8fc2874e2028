"""What is said of a program that a supplied, empty file did not help."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run


def diagnosis_of(tmp_path: Path, rule: str | None, first_read: int, code: int = 1) -> Diagnosis:
    calls = [
        Syscall(
            seq=1, name="openat", pid=2, arguments=["AT_FDCWD", '"/etc/x.conf"', "O_RDONLY"],
            path="/etc/x.conf", ret=3, rule=rule,
        ),
        Syscall(seq=2, name="read", pid=2, arguments=["3", "0x1000", "512"], ret=first_read),
    ]  # fmt: skip
    return diagnose(load_run(write_run(tmp_path, calls, exit_code=code)))


def test_an_empty_supplied_file_is_named_with_its_rule(tmp_path: Path) -> None:
    best = diagnosis_of(tmp_path, "fix-openat-1", 0).hypotheses[0]
    assert best.cause == "missing_file"
    assert best.title.startswith("The file /etc/x.conf was supplied empty")
    assert "fix-openat-1" in best.explanation
    assert all(evidence.supported for evidence in best.evidence)


@pytest.mark.parametrize(
    ("rule", "first_read", "code"), [(None, 0, 1), ("fix-openat-1", 12, 1), ("fix-openat-1", 0, 0)]
)
def test_other_files_are_not_blamed(tmp_path: Path, rule: str | None, first_read: int, code: int) -> None:
    found = diagnosis_of(tmp_path, rule, first_read, code)
    assert not any("supplied empty" in hypothesis.title for hypothesis in found.hypotheses)
