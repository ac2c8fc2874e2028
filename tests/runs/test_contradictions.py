"""A record that contradicts itself says so in one sentence each, and is diagnosed all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.contradictions import contradictions
from triage_tui.runs.evidence import resolve
from triage_tui.runs.files import write_atomic
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.model import Loop, Snapshot
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import encode_json

TRACE = (
    b'2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = -1 errno=2 (No such file or directory)\n'
    b"2 nanosleep(0x1000,0x2000) = 0\n" * 6 + b"2 exit_group(1)\n"
)


def _signal(snapshot: Snapshot) -> None:
    snapshot.trigger.signal = "SIGSEGV\x1b[2J"


def _died(snapshot: Snapshot) -> None:
    snapshot.reason, snapshot.trigger.signal, snapshot.trigger.exit_code = "signal", "SIGSEGV", 0


def _idle(snapshot: Snapshot) -> None:
    snapshot.reason = "idle"


def _other_name(snapshot: Snapshot) -> None:
    snapshot.run_id = "other\x1b[2J"


def _no_loop(snapshot: Snapshot) -> None:
    snapshot.reason = "sleep_loop"
    snapshot.loop = Loop(period=0, repeats=-5, first_seq=10, last_seq=1)


def _far_loop(snapshot: Snapshot) -> None:
    snapshot.reason = "sleep_loop"
    snapshot.loop = Loop(period=4, repeats=99, first_seq=9000, last_seq=9999, round_seqs=[9996])


def _negative(snapshot: Snapshot) -> None:
    snapshot.trigger.seq = -7
    for call in snapshot.recent_syscalls:
        call.seq = -call.seq


def _same(snapshot: Snapshot) -> None:
    for call in snapshot.recent_syscalls:
        call.seq = 5


def _frames(snapshot: Snapshot) -> None:
    frames = [Frame(idx=-3, addr=-5, addr_hex="-0x5", module_name="x", func_offset=-1, func_name="main")]
    snapshot.backtrace = Backtrace(frames=frames)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_signal, "exited with code 1 and died of SIGSEGV"),
        (_died, "exited with code 0 and died of SIGSEGV: the signal is believed"),
        (_no_loop, "the record's loop is none (-5 rounds of 0 calls, from 10 to 1)"),
        (_far_loop, "was stopped by sleep loop, and its last call is exit_group"),
        (_negative, "13 calls have a negative number"),
        (_same, "12 calls have the number of another one"),
        (_frames, "the call stack has frames with negative numbers"),
        (_idle, "was stopped by idle, and its last call is exit_group"),
        (_other_name, "the record calls itself other"),
        (lambda snapshot: None, ""),
    ],
)
@pytest.mark.parametrize("with_trace", [True, False])
def test_it_is_said_and_the_rest_goes_on(
    tmp_path: Path, change: Callable[[Snapshot], None], sentence: str, with_trace: bool
) -> None:
    run = write_run(tmp_path, parse_trace(TRACE), reason="exit", argv=["/bin/x"], code=1)
    if not with_trace:
        (run.dir / "trace.jsonl").unlink()
    run = _changed(run, change)
    if sentence:
        assert any(sentence in problem for problem in run.problems)
    else:
        assert contradictions(run.snapshot) == []
    assert not any("\x1b" in problem for problem in run.problems)
    diagnosis = diagnose(run)
    assert diagnosis.hypotheses
    # Nothing is cited that is not there.
    for evidence in diagnosis.hypotheses[0].evidence:
        assert evidence.supported is resolve(run, evidence.link).exists


def test_a_loop_behind_the_last_call_is_looked_for_in_the_calls(tmp_path: Path) -> None:
    for change in (_no_loop, _far_loop):
        run = write_run(
            tmp_path / change.__name__, parse_trace(TRACE), reason="exit", argv=["/bin/x"], code=1
        )
        best = diagnose(_changed(run, change)).hypotheses[0]
        assert best.cause == "missing_file"
        assert "in each round" in best.explanation


def _changed(run: Run, change: Callable[[Snapshot], None]) -> Run:
    change(run.snapshot)
    write_atomic(run.dir / "snapshot.json", encode_json(run.snapshot))
    return load_run(run.dir)
