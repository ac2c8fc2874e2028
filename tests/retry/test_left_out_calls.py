"""Calls between the kept ones come back from a full trace, and the diagnosis knows them."""

from __future__ import annotations

from pathlib import Path

from tests.ui.exit_run import call
from triage_tui.diagnosis.report import diagnose
from triage_tui.guest.arch import by_name
from triage_tui.guest.log.full_trace import FILE, FullTrace
from triage_tui.retry.inspecting.left_out_calls import WHOLE_TRACE, take_left_out
from triage_tui.runs.model import Snapshot, Target, Trigger, Unavailable
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter

BEFORE = b'2 openat(AT_FDCWD,"/bin/x",O_RDONLY) = 3\n' + b"2 getppid() = 1\n" * 9
BETWEEN = (
    b'2 openat(AT_FDCWD,"/etc/vendor.lic",O_RDONLY) = -1 errno=2 (No such file or directory)\n'
    b"2 close(3) = 0\n"
    b'2 openat(AT_FDCWD,"/etc/passwd",O_RDONLY) = 3\n'
    b"2 fcntl64(3,F_DUPFD_CLOEXEC,10) = 10\n"
    + b"2 read(3,0x100,4) = -1 errno=11 (Resource temporarily unavailable)\n" * 500
    + b"2 ioctl(10,TCGETS,0x407ff0a8) = -1 errno=25 (Inappropriate ioctl for device)\n" * 3
)
AFTER = b"2 getppid() = 1\n" * 40 + b"2 write(2,0x3000,40) = 40\n2 exit_group(3)\n"


def _run(directory: Path, text: bytes) -> Path:
    """Write a run that kept the first and the last calls, and the full trace of it."""
    count = text.count(b"\n")
    first, last = 10, count - 41
    writer = RunWriter(directory)
    writer.add_log("guest.log", b"vendor.lic: no licence, giving up here\n\n")
    kept = [call(seq, "getppid", [], 1) for seq in (*range(1, first + 1), *range(last, count - 1))]
    kept += [call(count - 1, "write", ["2", "0x3000", "40"], 40), call(count, "exit_group", ["3"])]
    writer.write_snapshot(
        Snapshot(
            run_id=writer.run_id,
            reason="exit",
            created_at="2026-01-01T00:00:00+00:00",
            trigger=Trigger(seq=count, syscall_name="exit_group", pid=2, exit_code=3),
            target=Target(program="/bin/x", argv=["x"], arch="arm", target_id="x-1"),
            recent_syscalls=kept[-20:],
            unavailable=[Unavailable(what=WHOLE_TRACE, why="some were kept: the first and the last")],
        )
    )
    writer.write_trace(kept)
    full = FullTrace(limit=1 << 20)
    header = {"log": 1, "tid": 2, "arch": by_name("arm").name, "count": 0, "ts_mono_ns": 5, "whole": True}
    full.add(header, text)
    run_dir = writer.publish()
    full.copy_to(run_dir / FILE)
    full.close()
    return run_dir


def test_what_failed_in_between_is_read_and_explains_the_end(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, BEFORE + BETWEEN + AFTER)
    before = load_run(run_dir)
    assert diagnose(before).hypotheses[0].cause == "unknown"
    known = {one.seq for one in before.trace()}
    count = take_left_out(run_dir)
    run = load_run(run_dir)
    added = {one.seq: one for one in run.trace() if one.seq not in known}
    assert len(added) == count
    names = [(one.name, one.errno) for one in added.values()]
    assert names == [
        ("openat", "ENOENT"), ("openat", None), ("fcntl64", None), ("ioctl", "ENOTTY"), ("ioctl", "ENOTTY")
    ]  # fmt: skip
    assert [one.seq for one in run.trace()] == sorted(known | set(added)), "it is still in order"
    (note,) = (one.why for one in run.snapshot.unavailable if one.what == WHOLE_TRACE)
    assert note.endswith("5 in between that failed or say who did what are from the full trace")
    best = diagnose(run).hypotheses[0]
    assert best.cause == "missing_file"
    assert "vendor.lic" in best.title
    ioctl = next(fact for fact in _facts(run_dir) if fact[0] == "ioctl")
    assert ioctl[1] == "/etc/passwd", "a copied descriptor stands for what was opened in between"
    assert take_left_out(run_dir) == 0, "what was taken once is not taken again"


def _facts(run_dir: Path) -> list[tuple[str, str]]:
    from triage_tui.diagnosis.facts import FailedCall
    from triage_tui.diagnosis.report import facts_of

    failed = facts_of(load_run(run_dir)).failed
    return [(fact.name, fact.origin) for fact in failed if isinstance(fact, FailedCall)]


def test_a_run_without_a_gap_or_a_full_trace_stays_as_it_is(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, BEFORE + BETWEEN + AFTER)
    trace = (run_dir / "trace.jsonl").read_bytes()
    (run_dir / FILE).rename(tmp_path / "away")
    assert take_left_out(run_dir) == 0
    assert (run_dir / "trace.jsonl").read_bytes() == trace
