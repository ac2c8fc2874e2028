"""What counts as going round in circles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from triage_tui.guest.freezing.loops import LoopDetector, Sleepers, is_progress, signature
from triage_tui.guest.spec import TriggerLimits
from triage_tui.runs.model import UNLOGGED, Loop, Syscall


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
    assert loop.round_seqs == [2, 4, 6]
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


def test_a_wait_without_a_result_was_for_a_child_that_has_slept() -> None:
    """QEMU 10 does not log which child was found."""
    sleepers = Sleepers()
    found = call("wait4", "-1")
    found.pid, found.ret, found.note = 2, None, f"then SIGCHLD was delivered; {UNLOGGED}"
    for child in (7, 8):
        fork = call("clone", ret=child)
        fork.pid = 2 if child == 7 else 3
        assert not sleepers.note(fork)
        nap = call("clock_nanosleep", "CLOCK_REALTIME", "0", "{tv_sec = 1,tv_nsec = 0}")
        nap.pid = child
        assert not sleepers.note(nap)
    assert sleepers.note(found)
    assert not sleepers.note(found), "the other one that slept is not its child"


def repeated(make: Callable[[int], list[Syscall]], rounds: int = 9, **limits: float) -> Loop | None:
    how = TriggerLimits(**{"loop_repeats": 8, "loop_calls": 8} | limits)  # type: ignore[arg-type]
    return run([one for number in range(rounds) for one in make(number)], how)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: [call("lseek", "3", str(512 * n), "SEEK_SET", ret=512 * n)], id="offset"),
        pytest.param(lambda n: [call("poll", "0x1", "1", str(900 - n), ret=1)], id="time that is left"),
        pytest.param(lambda n: [call("futex", "0x1000", "FUTEX_WAKE", str(n), "NULL")], id="counter"),
        pytest.param(lambda n: [call("kill", str(100 + n), "0")], id="process id"),
        pytest.param(lambda n: [call("ioctl", "3", "FIONREAD", f"0x4080{n:04x}")], id="stack address"),
        pytest.param(
            lambda n: [
                call("socket", "PF_INET", "SOCK_STREAM", "IPPROTO_IP", ret=3 + n),
                call("connect", str(3 + n), "0x1000", "16", ret=-111, errno="ECONNREFUSED"),
            ],
            id="descriptor that is never closed",
        ),
    ],
)
def test_what_changes_from_round_to_round_does_not_matter(make: Callable[[int], list[Syscall]]) -> None:
    assert repeated(make) is not None


def test_a_timeout_of_nothing_or_without_end_is_another_call() -> None:
    waits = [signature(call("poll", "0x1", "1", timeout, ret=1)) for timeout in ("0", "-1", "500")]
    assert len(set(waits)) == 3


def at(site: int, name: str = "access", **more: Any) -> Syscall:
    found = call(name, '"/x"', "F_OK", path="/x", ret=-2, errno="ENOENT", **more)
    found.pc, found.return_address = 0x10400, site
    return found


def test_two_places_in_the_program_are_not_merged() -> None:
    one = repeated(lambda _: [at(0x8000)])
    two = repeated(lambda _: [at(0x8000), at(0x9000)])
    assert one is not None
    assert two is not None
    assert (one.period, two.period) == (1, 2)
    assert repeated(lambda n: [at(0x8000 + 4 * n)]) is None


def test_rounds_must_happen_within_the_span() -> None:
    # A call each millisecond.
    assert repeated(lambda _: [missing()], rounds=40, loop_span_s=0.004) is None
    assert repeated(lambda _: [missing()], rounds=40, loop_span_s=0.04) is not None
    sleep = call("nanosleep", "{tv_sec = 1,tv_nsec = 0}", "NULL")
    assert repeated(lambda _: [missing(), sleep], sleep_span_s=0.003) is None
    assert repeated(lambda _: [missing(), sleep], sleep_span_s=0.03) is not None


def test_a_loop_that_is_followed_tells_when_it_ends() -> None:
    detector = LoopDetector(TriggerLimits(loop_repeats=4, loop_calls=4))
    loop = next(found for _ in range(9) if (found := detector.add(missing())))
    detector.follow(loop)
    assert detector.add(missing()) is None
    going_on = detector.followed()
    assert going_on is not None
    assert going_on.repeats == loop.repeats + 1
    detector.add(call("chdir", '"/"', path="/"))
    assert detector.is_broken
    assert detector.followed() is None


NAP = ("epoll_wait", "5", "0x1000", "64", "100")


def routine(rounds: int, first: int = 0) -> list[Syscall]:
    """Rounds that differ: each makes another choice of the same 40 calls."""
    calls = []
    for at in range(first, first + rounds):
        calls += [call("stat", f'"/{step}"', path=f"/{step}") for step in range(40) if (at * 7 + step) % 3]
        calls.append(call(*NAP))
    return calls


def feed(detector: LoopDetector, calls: list[Syscall], start_s: float, step_s: float) -> Loop | None:
    found = None
    for at, one in enumerate(calls):
        one.seq, one.ts_mono_ns = at + 1, int((start_s + at * step_s) * 1e9)
        found = detector.add(one) or found
    return found


def test_rounds_that_differ_but_bring_nothing_new_are_a_loop() -> None:
    limits = TriggerLimits(idle_s=1, sleep_patience=5)
    calls = routine(60)
    loop = feed(LoopDetector(limits), calls, 1, 0.01)
    assert loop is not None
    assert (loop.sleeps, loop.varies) == (True, True)
    assert loop.span_ms >= 5000
    assert set(loop.names) == {"stat", "epoll_wait"}
    assert loop.names[-1] == "epoll_wait"
    assert loop.repeats >= 3
    assert loop.first_seq <= loop.round_seqs[0]
    by_seq = {one.seq: one for one in calls}
    assert {by_seq[seq - 1].name for seq in loop.round_seqs} == {"epoll_wait"}
    assert len(loop.names) == loop.last_seq - loop.round_seqs[-1] + 1


def test_calls_that_say_nothing_are_in_no_round() -> None:
    noise = ("rt_sigprocmask", "SIG_SETMASK", "0x1", "NULL")
    loop = run([one for _ in range(3) for one in (call(*noise), missing(), call(*noise), call(*NAP))])
    assert loop is not None
    assert (loop.period, loop.round_seqs, loop.last_seq) == (2, [2, 6, 10], 12)


def test_such_rounds_need_their_time() -> None:
    assert feed(LoopDetector(TriggerLimits(idle_s=30)), routine(60), 1, 0.01) is None


def test_one_new_call_begins_the_time_anew() -> None:
    limits = TriggerLimits(idle_s=1, sleep_patience=5)
    calls = routine(60)
    for at in range(100, len(calls), 300):
        calls.insert(at, call("stat", f'"/new{at}"', path=f"/new{at}"))
    assert feed(LoopDetector(limits), calls, 1, 0.01) is None


def test_without_a_sleep_such_rounds_are_work() -> None:
    limits = TriggerLimits(idle_s=1, sleep_patience=5)
    calls = [one for one in routine(60) if one.name == "stat"]
    assert feed(LoopDetector(limits), calls, 1, 0.01) is None


def test_such_a_loop_is_followed_until_something_new_happens() -> None:
    detector = LoopDetector(TriggerLimits(idle_s=1, sleep_patience=5))
    loop = feed(detector, routine(60), 1, 0.01)
    assert loop is not None
    detector.follow(loop)
    assert feed(detector, routine(20, 60), 30, 0.01) is None
    followed = detector.followed()
    assert followed is not None
    assert followed.varies
    assert followed.repeats > loop.repeats
    feed(detector, [call("stat", '"/other"', path="/other")], 60, 0.01)
    assert detector.is_broken
    assert detector.followed() is None


def opened(path: str, flags: str = "O_WRONLY|O_CREAT|O_APPEND", fd: int = 3) -> Syscall:
    return call("openat", "AT_FDCWD", f'"{path}"', flags, "0600", ret=fd, path=path)


def wrote(size: int = 6, fd: int = 3) -> Syscall:
    return call("write", str(fd), "0x1000", str(size), ret=size)


def ashes(at: int) -> list[Syscall]:
    """What `echo waiting >> /tmp/log` is in a shell."""
    return [
        opened("/tmp/log"),
        call("fcntl64", "1", "F_DUPFD_CLOEXEC", "10", ret=10),
        call("dup2", "3", "1", ret=1),
        call("close", "3"),
        wrote(8, fd=1),
        call("dup2", "10", "1", ret=1),
        call("close", "10"),
    ]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: [call("close", str(n), ret=-9, errno="EBADF")], id="closes all descriptors"),
        pytest.param(lambda n: [opened("/tmp/out"), wrote(), call("close", "3")], id="appends"),
        pytest.param(
            lambda n: [
                opened("/tmp/out"),
                call("ioctl", "3", "TCGETS", "0x1", ret=-25, errno="ENOTTY"),
                wrote(),
                call("close", "3"),
            ],
            id="appends through a stream",
        ),
        pytest.param(ashes, id="a shell appends"),
        pytest.param(lambda n: ([] if n else [opened("/tmp/out", "O_WRONLY")]) + [wrote()], id="goes on"),
        pytest.param(
            lambda n: (
                ([] if n else [opened("/tmp/out", "O_RDWR")])
                + [call("pwrite64", "3", "0x1000", "256", str(256 * n), ret=256)]
            ),
            id="writes at places of its choice",
        ),
        pytest.param(lambda n: [wrote(4096, fd=1)], id="prints data"),
    ],
)
def test_who_brings_something_forward_is_in_no_loop(make: Callable[[int], list[Syscall]]) -> None:
    assert run([one for number in range(15_000) for one in make(number)], TriggerLimits()) is None


def sleep() -> Syscall:
    return call("nanosleep", "{tv_sec = 1,tv_nsec = 0}", "NULL")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: [*ashes(n), sleep()], id="logs and sleeps"),
        pytest.param(lambda n: [missing(), opened("/tmp/out"), wrote(), call("close", "3")], id="complains"),
        pytest.param(
            lambda n: ([] if n else [opened("/tmp/out")]) + [missing(), wrote()],
            id="complains to an open log",
        ),
        pytest.param(
            lambda n: [call("read", "5", "0x1000", "1"), opened("/tmp/out"), wrote(), call("close", "3")],
            id="logs that there is no input",
        ),
        pytest.param(
            lambda n: [opened("/tmp/pid", "O_WRONLY|O_CREAT|O_TRUNC"), wrote(), call("close", "3")],
            id="writes a file anew",
        ),
        pytest.param(
            lambda n: (
                ([] if n else [opened("/tmp/state", "O_RDWR")])
                + [call("lseek", "3", "0", "SEEK_SET"), wrote(6, fd=3)]
            ),
            id="rewinds",
        ),
        pytest.param(
            lambda n: (
                ([] if n else [opened("/tmp/state", "O_RDWR")])
                + [call("pwrite64", "3", "0x1000", "256", "512", ret=256)]
            ),
            id="writes at one place",
        ),
        pytest.param(
            lambda n: [opened("/dev/console"), wrote(), call("close", "3")], id="prints to a device"
        ),
        pytest.param(
            lambda n: [opened("/tmp/full"), call("write", "3", "0x1", "6", ret=-28, errno="ENOSPC")],
            id="the disk is full",
        ),
    ],
)
def test_who_writes_about_something_that_does_not_happen_is_in_a_loop(
    make: Callable[[int], list[Syscall]],
) -> None:
    assert run([one for number in range(300) for one in make(number)], TriggerLimits()) is not None
