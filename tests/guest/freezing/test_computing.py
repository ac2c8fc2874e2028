"""A thread that computes for ever is told of although another one makes calls; one that works is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.diagnosis.report import diagnose
from triage_tui.guest.record.capture import capture
from triage_tui.guest.spec import TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Engine
from triage_tui.runs.process_model import Thread
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import RunWriter

SECONDS = 2.5
"""What the knowledge base takes for long."""
PATIENT = TriggerLimits(idle_s=SECONDS, time_limit_s=SECONDS + 2, sleep_repeats=1000, grace_s=0)
LOOPING = TriggerLimits(idle_s=SECONDS, time_limit_s=30, sleep_repeats=4, grace_s=0)
BEAT = str(int(1e6 * (SECONDS + 1.5) / 4))
"""Microseconds between two beats, so that four of them are long enough."""


def record(guest: Guest, directory: Path, *, wanted: bool = False) -> Run:
    """Return the run of a guest up to its first stop, or until a person wants it as a thread computes."""

    def computes() -> bool:
        found = [guest.computed_by(tid) for tid in guest.trace.logs]
        return wanted and any(one is not None and one.seconds >= SECONDS for one in found)

    stop = guest.run_until_stop(wanted=computes)
    writer = RunWriter(directory)
    capture(guest, stop, writer, target=guest.target, engine=Engine())
    return load_run(writer.publish())


def threads(run: Run) -> tuple[Thread, Thread]:
    (process,) = run.snapshot.processes
    first, second = process.threads
    return first, second


def spins(run: Run) -> list[str]:
    """Return the titles of hypotheses about a thread that spins beside others."""
    found = diagnose(run).hypotheses
    return [one.title for one in found if "while others go on" in one.title]


@pytest.mark.parametrize(("arch", "observe"), [("mips", "full"), ("arm", "watched")])
def test_at_the_time_limit_the_thread_that_spins_is_looked_at(
    tmp_path: Path, qemu_dir: Path, arch: str, observe: str
) -> None:
    root = root_with(tmp_path / "root", arch, "beats")
    how = spec(root, qemu_dir, "/bin/beats", "spins", triggers=PATIENT, observe=observe)
    with Guest.start(how) as guest:
        run = record(guest, tmp_path / "runs")
    trigger = run.snapshot.trigger
    assert (run.snapshot.reason, trigger.spinning) == ("time_limit", True)
    beats, spinner = threads(run)
    assert (trigger.tid, spinner.looked_at, spinner.state) == (spinner.tid, True, "computing")
    assert f"thread {spinner.tid} computed for" in trigger.detail
    assert beats.computed is None
    assert spinner.computed is not None
    assert spinner.computed.seconds >= SECONDS
    assert run.snapshot.backtrace.frames[0].func_name == "spins"
    if observe == "full":
        last = run.syscall(spinner.computed.last_seq or 0)
        assert last is not None
        assert last.tid == spinner.tid
    assert spins(run) == [f"Thread {spinner.tid} runs without any syscall while others go on"]


def test_a_heartbeat_that_is_taken_for_a_loop_does_not_hide_the_spin(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "mips", "beats")
    how = spec(root, qemu_dir, "/bin/beats", "spins", BEAT, triggers=LOOPING)
    with Guest.start(how) as guest:
        run = record(guest, tmp_path / "runs")
    assert run.snapshot.reason == "sleep_loop"
    beats, spinner = threads(run)
    assert (run.snapshot.trigger.tid, beats.looked_at) == (beats.tid, True)
    assert f"thread {spinner.tid} computed for" in run.snapshot.trigger.detail
    best = diagnose(run).hypotheses[0]
    assert (best.cause, best.title) == ("spin_or_lock", *spins(run))
    assert best.evidence[0].link is not None
    assert best.evidence[0].link.startswith("ev:syscall/")


def test_a_person_who_freezes_it_is_told_which_thread_computes(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "mips", "beats")
    limits = TriggerLimits(idle_s=SECONDS, time_limit_s=60, sleep_repeats=1000)
    with Guest.start(spec(root, qemu_dir, "/bin/beats", "spins", triggers=limits)) as guest:
        run = record(guest, tmp_path / "runs", wanted=True)
    assert run.snapshot.reason == "requested"
    assert f"thread {threads(run)[1].tid} computed for" in run.snapshot.trigger.detail
    assert len(spins(run)) == 1


@pytest.mark.parametrize("kind", ["works", "waits"])
def test_a_thread_that_works_between_its_calls_is_healthy(tmp_path: Path, qemu_dir: Path, kind: str) -> None:
    root = root_with(tmp_path / "root", "arm", "beats")
    with Guest.start(spec(root, qemu_dir, "/bin/beats", kind, triggers=PATIENT)) as guest:
        run = record(guest, tmp_path / "runs")
    assert run.snapshot.reason == "time_limit"
    assert not run.snapshot.trigger.spinning
    assert "computed for" not in run.snapshot.trigger.detail
    assert spins(run) == []
