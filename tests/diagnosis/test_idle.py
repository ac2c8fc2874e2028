"""Of an idle program what the engine measured counts, not which calls happen to be under way."""

from __future__ import annotations

from pathlib import Path

from tests.runs.build import write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json


def idle(directory: Path, calls: list[Syscall], **trigger: object) -> Diagnosis:
    """Return the diagnosis of a run that made `calls` and was then idle."""
    run = load_run(write_run(directory, calls, reason="idle", exit_code=None))
    snapshot = run.snapshot
    snapshot.trigger.syscall_name = ""
    for name, value in {"pid": 2, **trigger}.items():
        setattr(snapshot.trigger, name, value)
    (run.dir / "snapshot.json").write_bytes(encode_json(snapshot))
    return diagnose(load_run(run.dir))


def reads(seq: int, tid: int, fd: str = "3") -> Syscall:
    return Syscall(seq=seq, name="read", pid=2, tid=tid, arguments=[fd, "0x1000", "1"])


def starts_thread(seq: int) -> Syscall:
    return Syscall(seq=seq, name="clone", pid=2, tid=2, arguments=["CLONE_VM|CLONE_THREAD"], ret=4)


def test_a_thread_that_waits_does_not_hide_one_that_computes(tmp_path: Path) -> None:
    for fd in ("0", "3"):
        diagnosis = idle(tmp_path, [starts_thread(1), reads(2, 4, fd)], spinning=True, tid=2, seq=2)
        assert (diagnosis.hypotheses[0].cause, diagnosis.healthy) == ("spin_or_lock", False)
        assert "network_wait" not in {item.cause for item in diagnosis.hypotheses}


def test_a_thread_that_ended_does_not_make_a_wait_a_computation(tmp_path: Path) -> None:
    for ended, waits in ((2, 3), (3, 2)):
        ends = Syscall(seq=ended, name="exit", pid=2, tid=2, arguments=["0"])
        calls = sorted([starts_thread(1), ends, reads(waits, 4)], key=lambda call: call.seq)
        diagnosis = idle(tmp_path, calls, spinning=False, tid=4, seq=waits)
        assert diagnosis.hypotheses[0].cause == "network_wait"
        assert "waits in read" in diagnosis.headline


def test_a_stopped_program_does_not_wait_in_the_call_that_stopped_it(tmp_path: Path) -> None:
    stops = Syscall(seq=1, name="kill", pid=2, tid=2, arguments=["2", "SIGSTOP"])
    diagnosis = idle(tmp_path, [stops], spinning=False, stopped="SIGSTOP", sender=2, seq=1, tid=2)
    assert "is stopped by SIGSTOP" in diagnosis.headline
    assert diagnosis.hypotheses[0].evidence[0].says.endswith("which it sent itself")
    assert not diagnosis.healthy
