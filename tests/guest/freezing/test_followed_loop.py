"""The figures of a loop agree with each other and with the trace, also where calls were skimmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import shell, spec
from tests.programs import root_with
from triage_tui.guest.freezing.loops import LoopDetector
from triage_tui.guest.record.capture import capture
from triage_tui.guest.spec import ResourceLimits, TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Engine, Loop, Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter

SEEN = TriggerLimits(loop_repeats=4, loop_calls=4)


class Calls:
    """A thread that goes round in calls about `paths`; some of its calls are skimmed."""

    def __init__(self, paths: str) -> None:
        self.paths = paths
        self.seq = 0
        self.detector = LoopDetector(SEEN)

    def make(self, count: int) -> Loop | None:
        """Have so many calls read; return the first loop that they make."""
        found = None
        for _ in range(count):
            path = self.paths[self.seq % len(self.paths)]
            self.seq += 1
            one = Syscall(seq=self.seq, name="stat", path=path, errno="ENOENT", ts_mono_ns=self.seq * 1000)
            found = self.detector.add(one) or found
            if found is not None and self.detector.followed() is None and not self.detector.is_broken:
                self.detector.follow(found)
        return found

    def skim(self, count: int) -> None:
        self.seq += count
        self.detector.note_gap(count)

    def followed(self) -> Loop:
        loop = self.detector.followed()
        assert loop is not None
        return loop


@pytest.mark.parametrize("paths", ["a", "abc", "abb", "ababb"])
@pytest.mark.parametrize("skimmed", [[], [100], [101, 7], [32768, 1, 5]])
def test_the_rounds_are_those_from_the_first_call_to_the_last(paths: str, skimmed: list[int]) -> None:
    calls = Calls(paths)
    assert calls.make(8 * len(paths)) is not None
    for count in skimmed:
        calls.skim(count)
        calls.make(3 * len(paths) + 1)
    loop = calls.followed()
    assert not calls.detector.is_broken
    assert loop.period == len(paths)
    assert loop.last_seq - loop.first_seq + 1 == loop.repeats * loop.period
    assert calls.seq - loop.last_seq < 2 * loop.period
    assert loop.skimmed == sum(skimmed)
    assert loop.round_seqs[-1] + loop.period - 1 == loop.last_seq
    assert {(seq - loop.first_seq) % loop.period for seq in loop.round_seqs} == {0}
    assert loop.span_ms == pytest.approx((loop.last_seq - loop.first_seq) / 1000)


def test_calls_that_say_nothing_are_no_rounds() -> None:
    calls = Calls("ab")
    assert calls.make(16) is not None
    loop = calls.followed()
    since = 16 - loop.first_seq + 1 - 8
    for _ in range(10):
        calls.make(2)
        for _ in range(2):
            calls.detector.add(Syscall(seq=0, name="brk"))
    calls.detector.note_gap(400)
    calls.make(2)
    after = calls.followed()
    # Of the calls that were read since it was found 20 say nothing, and so many of the skimmed ones.
    share = (since + 22) / (since + 42)
    assert after.skimmed == round(400 * share)
    assert after.repeats == loop.repeats + 11 + after.skimmed // 2


def test_another_call_after_a_gap_ends_the_loop() -> None:
    calls = Calls("abc")
    assert calls.make(24) is not None
    calls.skim(50)
    calls.paths = "xyz"
    calls.make(1)
    assert calls.detector.is_broken


def test_a_guest_at_full_speed(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "arm", "races")
    limits = TriggerLimits(time_limit_s=30, grace_s=0.5)
    how = spec(root, qemu_dir, "/bin/races", triggers=limits, limits=ResourceLimits(trace=1_000_000))
    with Guest.start(how) as guest:

        def skims() -> bool:
            # However quick this machine is: as if there were no time to read while the loop is followed.
            for log in guest.trace.logs.values() if guest._suspicion is not None else ():
                guest.trace.drain(log, keep=1 << 10)
            return False

        stop = guest.run_until_stop(wanted=skims)
        skimmed = guest.trace.skimmed
        writer = RunWriter(tmp_path / "runs")
        capture(guest, stop, writer, target=guest.target, engine=Engine())
        run = load_run(writer.publish())
    loop = run.snapshot.loop
    assert run.snapshot.reason == "loop"
    assert loop is not None
    assert 0 < loop.skimmed <= skimmed
    assert loop.last_seq - loop.first_seq + 1 == loop.repeats * loop.period
    assert f"about {loop.repeats} times" in run.snapshot.trigger.detail
    paths = {call.seq: call.path for call in run.trace()}
    assert len({paths[seq] for seq in loop.round_seqs}) == 1
    assert paths[loop.first_seq] == paths[loop.round_seqs[0]]
    assert paths[loop.last_seq] != paths[loop.first_seq]
    assert set(paths) >= set(range(loop.first_seq, loop.last_seq + 1))


@pytest.mark.parametrize(
    ("script", "reason", "seconds"),
    [
        ("while :; do echo waiting >> /log; sleep 1; done", "sleep_loop", 60),
        ("while ! test -e /absent; do echo waiting >> /log; done", "loop", 60),
        ("i=0; while :; do i=$((i+1)); echo line $i >> /log; done", "time_limit", 2),
    ],
)
def test_a_log_of_attempts_is_told_from_a_file_that_is_written(
    tmp_path: Path, qemu_dir: Path, rootfs: Callable[[str], Path], script: str, reason: str, seconds: float
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "dev").mkdir()
    (tmp_path / "bin/busybox").write_bytes((rootfs("busybox-armhf") / "bin/busybox").read_bytes())
    (tmp_path / "bin/busybox").chmod(0o755)
    how = TriggerLimits(grace_s=0.2, time_limit_s=seconds)
    with Guest.start(spec(tmp_path, qemu_dir, *shell(script), triggers=how)) as guest:
        assert guest.run_until_stop().reason == reason
