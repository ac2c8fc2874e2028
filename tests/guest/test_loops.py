"""What counts as going round in circles."""

from __future__ import annotations

from triage_tui.guest.loops import LoopDetector, Sleepers, is_progress, signature
from triage_tui.guest.spec import TriggerLimits
from triage_tui.runs.model import Loop, Syscall


def call(
    name: str, *arguments: str, ret: int = 0, errno: str | None = None, path: str | None = None
) -> Syscall:
    return Syscall(seq=0, name=name, arguments=list(arguments), ret=ret, errno=errno, path=path)


def run(calls: list[Syscall], limits: TriggerLimits | None = None) -> Loop | None:
    detector = LoopDetector(limits or TriggerLimits(loop_repeats=8, loop_calls=8))
    for seq, one in enumerate(calls, 1):
        one.seq = seq
        one.ts_mono_ns = seq * 1_000_000
        if loop := detector.add(one):
            return loop
    return None


MISSING = ("openat", "AT_FDCWD", '"/x"', "O_RDONLY")


def missing() -> Syscall:
    return call(*MISSING, ret=-2, errno="ENOENT", path="/x")


def test_sleep_makes_three_rounds_enough() -> None:
    sleep = ("clock_nanosleep", "CLOCK_REALTIME", "0", "{tv_sec = 1,tv_nsec = 0}")
    loop = run([call("brk", "NULL")] + [one for _ in range(3) for one in (missing(), call(*sleep))])
    assert loop is not None
    assert (loop.period, loop.repeats, loop.sleeps) == (2, 3, True)
    assert (loop.first_seq, loop.last_seq) == (2, 7)
    assert sorted(loop.names) == ["clock_nanosleep", "openat"]


def test_two_sleeping_rounds_are_not_enough() -> None:
    assert run([one for _ in range(2) for one in (missing(), call("nanosleep", "0x1", "0x2"))]) is None


def test_a_tight_loop_needs_many_rounds() -> None:
    assert run([missing() for _ in range(7)]) is None
    loop = run([missing() for _ in range(8)])
    assert loop is not None
    assert (loop.period, loop.repeats, loop.sleeps) == (1, 8, False)


def test_input_is_progress() -> None:
    assert run([call("read", "3", "0x1000", "4096", ret=4096) for _ in range(100)]) is None
    assert run([call("accept", "3", "NULL", "NULL", ret=5) for _ in range(100)]) is None
    assert run([call("read", "3", "0x1000", "4096", ret=0) for _ in range(100)]) is not None


def test_input_is_no_progress_for_one_who_sleeps() -> None:
    watching = [call("read", "3", "0x1000", "512", ret=100), call("nanosleep", "0x1", "0x2")]
    loop = run([one for _ in range(3) for one in watching])
    assert loop is not None
    assert loop.sleeps
    serving = [call("accept", "3", "NULL", "NULL", ret=5), call("nanosleep", "0x1", "0x2")]
    assert run([one for _ in range(9) for one in serving]) is None


def test_length_of_what_is_written_does_not_matter() -> None:
    assert signature(call("write", "1", "0x10", "3", ret=3)) == signature(
        call("write", "1", "0x10", "4", ret=4)
    )
    assert signature(call("write", "1", "0x10", "3", ret=3)) != signature(
        call("write", "2", "0x10", "3", ret=3)
    )


def test_printing_is_no_progress() -> None:
    assert not is_progress(call("write", "1", "0x1000", "8", ret=8))
    assert run([call("write", "1", "0x1000", "8", ret=8) for _ in range(100)]) is not None


def test_different_files_are_no_loop() -> None:
    calls = [call("openat", "AT_FDCWD", f'"/{n}"', ret=-2, errno="ENOENT", path=f"/{n}") for n in range(100)]
    assert run(calls) is None


def test_addresses_and_ids_do_not_matter_small_numbers_do() -> None:
    assert signature(call("read", "3", "0x1000", "5")) == signature(call("read", "3", "0x2000", "5"))
    assert signature(call("close", "3")) != signature(call("close", "4"))
    assert signature(call("clone", "0x11", ret=120)) == signature(call("clone", "0x11", ret=121))


def test_a_poll_that_times_out_is_a_sleep_one_that_fires_is_not() -> None:
    timed_out = run([call("poll", "0x1", "1", "500", ret=0) for _ in range(4)])
    assert timed_out is not None
    assert timed_out.sleeps
    assert run([call("poll", "0x1", "1", "500", ret=1) for _ in range(7)]) is None


def test_longest_period() -> None:
    names = [f"call{n}" for n in range(17)]
    limits = TriggerLimits(loop_repeats=4, loop_calls=4, max_period=16)
    assert run([call(name) for _ in range(9) for name in names[:16]], limits) is not None
    assert run([call(name) for _ in range(9) for name in names], limits) is None


def test_who_waits_for_a_sleeper_has_slept() -> None:
    sleepers = Sleepers()
    nap = call("clock_nanosleep", "CLOCK_REALTIME", "0", "{tv_sec = 1,tv_nsec = 0}")
    nap.pid = 7
    assert not sleepers.note(nap)
    assert not sleepers.note(call("wait4", "-1", ret=8))
    assert sleepers.note(call("wait4", "-1", ret=7))
    assert not sleepers.note(call("wait4", "-1", ret=7)), "the number may be another process's by now"

    detector = LoopDetector(TriggerLimits())
    rounds = [(missing(), False), (call("clone", ret=7), False), (call("wait4", "-1", ret=7), True)] * 3
    loops = [detector.add(one, slept) for one, slept in rounds]
    assert loops[-1] is not None
    assert loops[-1].sleeps
