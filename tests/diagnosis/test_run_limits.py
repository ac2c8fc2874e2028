"""What a limit of the run refuses is the run's doing, not the device's lack of something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import failed_open, write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.proposals.build import propose
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run

NOTE = "the limit of 256 processes and threads of this run (--max-processes)"


def fork(name: str, note: str | None) -> Syscall:
    return Syscall(seq=2, name=name, pid=2, ret=-11, errno="EAGAIN", note=note)


@pytest.mark.parametrize("name", ["fork", "vfork", "clone"])
def test_a_fork_that_our_limit_refused_names_the_limit_and_its_option(tmp_path: Path, name: str) -> None:
    calls = [failed_open(1, "/dev/led0"), fork(name, NOTE)]
    calls[0].pid = 2
    run = load_run(write_run(tmp_path, calls, exit_code=2))
    diagnosis = diagnose(run)
    best = diagnosis.hypotheses[0]
    assert (best.entry, best.cause) == ("run-limit", "resource_limit")
    assert name in best.title
    assert "--max-processes sets it" in best.explanation
    (proposal, *_) = propose(run, diagnosis)
    assert proposal.needs_input == "start the run again with a larger --max-processes"


def test_a_fork_that_the_kernel_refused_is_not_blamed_on_the_run(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, [fork("fork", None)], exit_code=2))
    assert all(item.entry != "run-limit" for item in diagnose(run).hypotheses)


@pytest.mark.parametrize(
    ("name", "errno", "limit"),
    [
        ("write", "ENOSPC", "limit of 512 MiB for written files"),
        ("mmap2", "ENOMEM", "limit of 4096 MiB for the memory of one process"),
    ],
)
def test_a_limit_that_no_option_sets_is_named_too(tmp_path: Path, name: str, errno: str, limit: str) -> None:
    call = Syscall(seq=2, name=name, pid=2, ret=-1, errno=errno, note=f"the {limit} of this run")
    best = diagnose(load_run(write_run(tmp_path, [call], exit_code=1))).hypotheses[0]
    assert (best.entry, best.cause) == ("run-limit-fixed", "resource_limit")
    assert f"met the {limit}, which is the engine's own" in best.explanation
    assert not any("which limit it was" in text for text in best.wanted)


def test_a_limit_that_is_not_known_stays_a_question(tmp_path: Path) -> None:
    call = Syscall(seq=2, name="write", pid=2, ret=-1, errno="ENOSPC")
    best = diagnose(load_run(write_run(tmp_path, [call], exit_code=1))).hypotheses[0]
    assert best.entry == "resource-limit"
    assert any("which limit it was" in text for text in best.wanted)
