"""A record with half of its history says what it lacks, and its diagnosis is no surer than that allows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.hypotheses import CONTRADICTED, LACKING, PARTIAL
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import encode_json

TRACE = (
    b"2 getpid() = 2\n"
    * 100
    + b'2 openat(AT_FDCWD,"/etc/x.conf",O_RDONLY) = -1 errno=2 (No such file or directory)\n'
    b'2 write(2,"cannot open /etc/x.conf\\n",24) = 24\n2 exit_group(1)\n'
)


def _lines(run: Run, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = run.dir / "trace.jsonl"
    path.write_bytes(b"\n".join(change(path.read_bytes().split(b"\n")[:-1])) + b"\n")


def _gone(run: Run) -> None:
    (run.dir / "trace.jsonl").unlink()


def _cut(run: Run) -> None:
    _lines(run, lambda lines: lines[:20])


def _torn(run: Run) -> None:
    _lines(run, lambda lines: [*lines[:50], lines[50][:9], *lines[51:]])


def _rubbish(run: Run) -> None:
    _lines(run, lambda lines: [b"{", *(line[1:] for line in lines[1:60]), *lines[60:]])


def _other(run: Run) -> None:
    _lines(run, lambda lines: [line.replace(b"ENOENT", b"EACCES") for line in lines])


def _longer(run: Run) -> None:
    _lines(run, lambda lines: [*lines, lines[0].replace(b'"seq":1,', b'"seq":500,')])


def _goes_on(run: Run) -> None:
    """Another process makes a call while the end of this one is recorded: that is no contradiction."""
    _longer(run)
    _lines(run, lambda lines: [*lines[:-1], lines[-1].replace(b'"pid":2', b'"pid":3')])


def _directory(run: Run) -> None:
    _gone(run)
    (run.dir / "trace.jsonl").mkdir()


def _fifo(run: Run) -> None:
    _gone(run)
    os.mkfifo(run.dir / "trace.jsonl")


def _dangling(run: Run) -> None:
    _gone(run)
    (run.dir / "trace.jsonl").symlink_to("nowhere")


def _silent(run: Run) -> None:
    (run.dir / run.snapshot.guest_output).unlink()


@pytest.mark.parametrize(
    ("damage", "sentence", "partial"),
    [
        (lambda run: None, "", False),
        (_gone, "trace.jsonl is not there: of 103 calls only the last 64 can be read", True),
        (_cut, "trace.jsonl ends at call 20, and the snapshot begins at call 40", True),
        (_torn, "1 damaged line of trace.jsonl passed over", False),
        (_rubbish, "60 damaged lines of trace.jsonl passed over", True),
        (_other, "1 call differs between trace.jsonl and the snapshot, the first is call 101", False),
        (_longer, "trace.jsonl has 1 call of the program after its last one, exit_group, call 103", False),
        (_goes_on, "", False),
        (_directory, "trace.jsonl is not a regular file", True),
        (_fifo, "trace.jsonl is not a regular file", True),
        (_dangling, "cannot read", True),
        (_silent, "logs/guest.log is not there: what the program printed is not known", False),
    ],
)
def test_what_a_record_lacks_is_said_and_counts(
    tmp_path: Path, damage: Callable[[Run], None], sentence: str, partial: bool
) -> None:
    output = b"cannot open /etc/x.conf\n"
    run = write_run(tmp_path, parse_trace(TRACE), reason="exit", argv=["/bin/x"], code=1, output=output)
    run.snapshot.recent_syscalls = run.snapshot.recent_syscalls[-64:]
    run.snapshot.statistics.syscalls, run.snapshot.statistics.output_bytes = 103, len(output)
    write_atomic(run.dir / "snapshot.json", encode_json(run.snapshot))
    damage(run)
    diagnosis = diagnose(load_run(run.dir))
    if not sentence:
        assert diagnosis.record_problems == []
    else:
        assert any(sentence in problem for problem in diagnosis.record_problems)
        assert f"Record problem: {diagnosis.record_problems[0]}." in render_markdown(run, diagnosis)
    best = diagnosis.hypotheses[0]
    assert best.cause in ("missing_file", "permission")
    assert best.confidence <= PARTIAL or not partial
    assert any(evidence.says == LACKING for evidence in best.contrary) is partial


def test_a_diagnosis_that_is_damaged_is_no_fault_of_the_record(tmp_path: Path) -> None:
    run = write_run(tmp_path, parse_trace(TRACE), reason="exit", argv=["/bin/x"], code=1)
    (run.dir / "diagnosis.json").write_text("{")
    run = load_run(run.dir)
    assert "diagnosis.json cannot be used" in run.problems[0]
    assert diagnose(run).record_problems == []


def test_an_end_that_its_calls_contradict_is_told_and_believed_less(tmp_path: Path) -> None:
    run = write_run(tmp_path, parse_trace(TRACE), reason="exit", argv=["/bin/x"], code=1)
    sound = diagnose(run).hypotheses[0]
    run.snapshot.reason, run.snapshot.trigger.signal = "signal", "SIGSEGV"
    write_atomic(run.dir / "snapshot.json", encode_json(run.snapshot))
    diagnosis = diagnose(load_run(run.dir))
    assert "by a record that contradicts itself" in diagnosis.headline
    assert diagnosis.hypotheses[0].confidence <= PARTIAL
    assert any(evidence.says == CONTRADICTED for evidence in diagnosis.hypotheses[0].contrary)
    assert not any(evidence.says == CONTRADICTED for evidence in sound.contrary)
