"""A program that another process killed has not ended well, whatever that one does afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.evidence import resolve
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.model import Snapshot, Syscall, Target, Trigger
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter


def test_the_call_that_killed_it_is_cited(tmp_path: Path) -> None:
    calls = [
        Syscall(seq=1, name="fork", pid=2, ret=4),
        Syscall(seq=2, name="pause", pid=2),
        Syscall(seq=3, name="kill", pid=4, arguments=["2", "SIGKILL"], ret=0),
        Syscall(seq=4, name="exit_group", pid=4, arguments=["0"]),
    ]
    writer = RunWriter(tmp_path)
    writer.add_log("guest.log", b"")
    writer.write_trace(calls)
    writer.write_snapshot(
        Snapshot(
            run_id=writer.run_id,
            reason="signal",
            created_at="2026-01-31T02:00:00+00:00",
            trigger=Trigger(seq=3, syscall_name="kill", signal="SIGKILL", pid=2, sender=4),
            target=Target(program="/sbin/x", argv=["x"], arch="mipsel"),
            recent_syscalls=calls,
        )
    )
    diagnosis = diagnose(load_run(writer.publish()))
    assert not diagnosis.healthy
    assert "killed by SIGKILL, which process 4 sent" in diagnosis.headline
    best = diagnosis.hypotheses[0]
    assert best.cause == "crash_signal"
    assert best.evidence[0].link is not None
    assert "syscall/3" in best.evidence[0].link
    assert "processor_model" not in best.proposals


def test_it_is_over_in_the_words_of_a_process_that_is_gone(tmp_path: Path) -> None:
    def story(name: str, *, ended: bool) -> str:
        writer = RunWriter(tmp_path / name)
        writer.add_log("guest.log", b"")
        calls = [Syscall(seq=1, name="pause", pid=2)]
        writer.write_trace(calls)
        writer.write_snapshot(
            Snapshot(
                run_id=writer.run_id,
                reason="signal",
                created_at="2026-01-31T02:00:00+00:00",
                trigger=Trigger(seq=1, syscall_name="pause", signal="SIGKILL", pid=2, ended=ended),
                target=Target(program="/sbin/x", argv=["x"], arch="mipsel"),
                recent_syscalls=calls,
            )
        )
        diagnosis = diagnose(load_run(writer.publish()))
        best = diagnosis.hypotheses[0]
        assert best.cause == "crash_signal"
        assert "processor" not in " ".join(best.wanted)
        assert "processor_model" not in best.proposals
        return diagnosis.headline

    assert "pid 2) died of SIGKILL" in story("over", ended=True)
    assert "pid 2) is about to die of SIGKILL" in story("before", ended=False)


def test_the_address_of_a_fault_is_told(tmp_path: Path) -> None:
    def headline(signal: str, address: str) -> str:
        detail = f"about to be killed by {signal} (si_signo={signal}, si_code=1, {address})"
        writer = RunWriter(tmp_path)
        writer.add_log("guest.log", b"")
        calls = [Syscall(seq=1, name="brk", pid=2, ret=0)]
        writer.write_trace(calls)
        writer.write_snapshot(
            Snapshot(
                run_id=writer.run_id,
                reason="signal",
                created_at="2026-01-31T02:00:00+00:00",
                trigger=Trigger(seq=1, syscall_name="brk", signal=signal, pid=2, detail=detail),
                target=Target(program="/sbin/x", argv=["x"], arch="mipsel"),
                recent_syscalls=calls,
            )
        )
        return diagnose(load_run(writer.publish())).headline

    assert "is about to die of SIGSEGV at address 0x10." in headline("SIGSEGV", "si_addr=0x00000010")
    assert "is about to die of SIGSEGV." in headline("SIGSEGV", "si_pid=2")
    assert "is about to die of SIGABRT." in headline("SIGABRT", "si_addr=0x00000010")


@pytest.mark.parametrize("with_frame", [True, False])
def test_the_address_of_a_fault_is_told_only_where_the_link_shows_it(
    tmp_path: Path, with_frame: bool
) -> None:
    """A program that died before its first call: the emulator's message names no address, the frame does."""
    frames = [Frame(idx=0, addr=0x3F7F0B00, addr_hex="0x3f7f0b00")] if with_frame else []
    directory = write_run(tmp_path, [], reason="signal", exit_code=None, backtrace=Backtrace(frames=frames))
    (directory / "logs" / "guest.log").write_bytes(b"qemu: uncaught target signal 4 (Illegal instruction)\n")
    run = load_run(directory)
    run.snapshot.trigger.signal = "SIGILL"
    run.snapshot.trigger.detail = "killed by SIGILL (si_signo=SIGILL, si_code=2, si_addr=0x3f7f0b00)"
    diagnosis = diagnose(run)
    best = diagnosis.hypotheses[0]
    assert best.cause == "crash_signal"
    shown = resolve(run, best.evidence[0].link).text
    assert ("0x3f7f0b00" in best.evidence[0].says) is with_frame
    assert ("0x3f7f0b00" in best.explanation) is with_frame
    assert ("3f7f0b00" in shown) is with_frame
