"""A thread that waits must not make a spinning program look well."""

from __future__ import annotations

from pathlib import Path

import pytest

import triage_tui
from tests.runs.build import failed_open, write_run
from triage_tui.diagnosis.calls import operation
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.facts import LoopCall, LoopFact
from triage_tui.diagnosis.knowledge import load_knowledge
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.model import UNLOGGED, Loop, Syscall, Trigger
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json


def spinning(waiter: Syscall) -> list[Syscall]:
    reads = [
        Syscall(seq=seq, name="read", pid=2, arguments=["3", "0x1000", "8096"], ret=0)
        for seq in range(3, 303)
    ]
    opened = Syscall(seq=1, name="openat", pid=2, arguments=["AT_FDCWD", '"/proc/kmsg"', "O_RDONLY"], ret=3)
    return [opened, waiter, *reads]


@pytest.mark.parametrize(
    "waiter",
    [
        Syscall(seq=2, name="pselect6", pid=2, arguments=["0", "0"]),
        Syscall(seq=2, name="read", pid=2, arguments=["0", "0x2000", "1"]),
        Syscall(seq=2, name="futex", pid=2, arguments=["0x2000", "FUTEX_WAIT", "0"]),
    ],
    ids=["sleeping thread", "thread at stdin", "thread at a lock"],
)
def test_a_loop_that_neither_pauses_nor_waits_is_not_healthy(tmp_path: Path, waiter: Syscall) -> None:
    loop = Loop(period=1, repeats=300, first_seq=3, last_seq=302, names=["read"])
    run = load_run(write_run(tmp_path, spinning(waiter), reason="loop", exit_code=None, loop=loop))
    diagnosis = diagnose(run)
    assert not diagnosis.healthy
    assert diagnosis.hypotheses[0].cause == "spin_or_lock"


def test_select_without_descriptors_is_no_wait_for_input(tmp_path: Path) -> None:
    sleeper = Syscall(seq=1, name="pselect6", pid=2, arguments=["0", "0"])
    diagnosis = diagnose(load_run(write_run(tmp_path, [sleeper], reason="idle", exit_code=None)))
    assert not any("standard input" in hypothesis.title for hypothesis in diagnosis.hypotheses)


def test_a_program_at_its_standard_input_is_healthy(tmp_path: Path) -> None:
    reader = Syscall(seq=1, name="read", pid=2, arguments=["0", "0x2000", "1"])
    diagnosis = diagnose(load_run(write_run(tmp_path, [reader], reason="idle", exit_code=None)))
    assert diagnosis.healthy


def waiting(tmp_path: Path, waiter: Syscall, path: str = "/etc/app.conf") -> str:
    """Return what is said against the missing `path` being the reason."""
    calls = [failed_open(1, path), waiter]
    calls[0].pid = 2
    diagnosis = diagnose(load_run(write_run(tmp_path, calls, reason="idle", exit_code=None)))
    found = [item for item in diagnosis.hypotheses if path in item.title]
    return "; ".join(item.says for hypothesis in found for item in hypothesis.contrary)


@pytest.mark.parametrize("path", ["/etc/app.conf", "/dev/i2c-0"])
def test_waiting_for_a_child_is_no_wait_for_input(tmp_path: Path, path: str) -> None:
    waiter = Syscall(seq=2, name="wait4", pid=2, args=[0xFFFFFFFF, 0x1000, 0, 0])
    said = waiting(tmp_path, waiter, path)
    assert said == "the program went on and waits for a process that it started"


def test_the_wait_of_another_process_says_nothing_about_the_one_that_failed(tmp_path: Path) -> None:
    assert not waiting(tmp_path, Syscall(seq=2, name="wait4", pid=1, arguments=["-1", "0x1000", "0"]))


def test_waiting_for_input_still_counts(tmp_path: Path) -> None:
    waiter = Syscall(seq=2, name="read", pid=2, arguments=["0", "0x2000", "1"])
    assert waiting(tmp_path, waiter).startswith("the program went on and waits for input")


@pytest.mark.parametrize(
    ("name", "arguments", "awaited"),
    [
        ("wait4", ["-1", "0x1000", "0"], "a process that it started to end"),
        ("wait4", ["7", "0x1000", "0"], "process 7, which it started, to end"),
        ("waitid", ["P_PID", "8", "0x1000", "4"], "process 8, which it started, to end"),
        ("waitid", ["P_ALL", "8", "0x1000", "4"], "a process that it started to end"),
        ("futex", ["0x2000", "FUTEX_WAIT", "0"], "a lock"),
        ("rt_sigsuspend", ["0x2000", "8"], "a signal"),
        ("poll", ["0x2000", "1", "-1"], "something from outside"),
    ],
)
def test_a_wait_says_for_what(tmp_path: Path, name: str, arguments: list[str], awaited: str) -> None:
    call = Syscall(seq=1, name=name, pid=2, arguments=arguments)
    run = load_run(write_run(tmp_path, [call], reason="idle", exit_code=None))
    (wait,) = gather(run, load_knowledge().causality).of("wait")
    assert wait.says == f"it waits for {awaited} and has not returned"


def test_idle_workers_say_less_than_the_thread_that_waits_for_input(tmp_path: Path) -> None:
    waiter = Syscall(seq=1, name="epoll_wait", pid=2, tid=2, arguments=["5", "0x1000", "64", "100"])
    workers = [
        Syscall(seq=2 + at, name="futex", pid=2, tid=3 + at, arguments=["0x2000", "FUTEX_WAIT", "0"])
        for at in range(3)
    ]
    run = load_run(write_run(tmp_path, [waiter, *workers], reason="time_limit", exit_code=None))
    diagnosis = diagnose(run)
    assert diagnosis.hypotheses[0].cause != "spin_or_lock"
    (end,) = gather(run, load_knowledge().causality).of("end")
    assert end.source is not None
    assert (end.seq, end.source.id) == (1, "1")
    assert "epoll_wait" in end.cite


def test_the_last_round_is_the_one_that_the_engine_saw(tmp_path: Path) -> None:
    """Calls of other threads, and calls that are not counted, lie between those of the rounds."""
    calls = []
    for seq in range(1, 25, 4):
        calls += [
            Syscall(seq=seq, name="rt_sigprocmask", pid=2, tid=2, ret=0),
            failed_open(seq + 1, "/etc/wanted"),
            Syscall(seq=seq + 2, name="getpid", pid=2, tid=3, ret=2),
            Syscall(seq=seq + 3, name="nanosleep", pid=2, tid=2, arguments=["0x1", "0x2"], ret=0),
        ]
        calls[-3].pid = calls[-3].tid = 2
    loop = Loop(
        period=2, repeats=6, first_seq=2, last_seq=24, tid=2, names=["openat", "nanosleep"], sleeps=True
    )
    loop.round_seqs = list(range(2, 25, 4))
    run = load_run(write_run(tmp_path, calls, reason="sleep_loop", exit_code=None, loop=loop))
    facts = gather(run, load_knowledge().causality)
    assert {fact.name for fact in facts.of("loop_call") if isinstance(fact, LoopCall)} == {
        "openat",
        "nanosleep",
    }
    (found,) = facts.of("loop")
    assert isinstance(found, LoopFact)
    assert (found.names, found.seq) == ("openat,nanosleep", 22)


def test_threads_that_wait_in_the_same_call_repeat_nothing(tmp_path: Path) -> None:
    waiters = [Syscall(seq=1 + at, name="pause", pid=2, tid=2 + at) for at in range(4)]
    run = load_run(write_run(tmp_path, waiters, reason="time_limit", exit_code=None))
    assert gather(run, load_knowledge().causality).of("loop") == []


def test_a_thread_that_repeats_is_found_among_others(tmp_path: Path) -> None:
    calls = []
    for seq in range(1, 41, 4):
        calls += [
            Syscall(seq=seq, name="nanosleep", pid=2, tid=3, arguments=["0x1", "0x2"], ret=0),
            Syscall(seq=seq + 1, name="getpid", pid=2, tid=2, ret=2),
            Syscall(seq=seq + 2, name=f"call{seq}", pid=2, tid=2, ret=0),
            Syscall(seq=seq + 3, name="chdir", pid=2, tid=3, arguments=['"/"'], ret=0),
        ]
    run = load_run(write_run(tmp_path, calls, reason="time_limit", exit_code=None))
    (loop,) = gather(run, load_knowledge().causality).of("loop")
    assert isinstance(loop, LoopFact)
    assert (loop.period, loop.repeats) == (2, 10)


@pytest.mark.parametrize("note", [None, UNLOGGED, f"then SIGCHLD was delivered; {UNLOGGED}"])
def test_a_wait_that_returned_holds_nobody_although_its_result_is_not_known(
    tmp_path: Path, note: str | None
) -> None:
    wait = Syscall(seq=1, name="wait4", pid=2, arguments=["-1", "NULL", "0", "NULL"], note=note)
    run = load_run(write_run(tmp_path, [wait], reason="time_limit", exit_code=None))
    facts = gather(run, load_knowledge().causality)
    assert ("has not returned" in facts.of("wait")[0].says) == (note is None)
    assert bool(facts.end.blocked_in) == (note is None)


@pytest.mark.parametrize(
    ("name", "arguments", "cause"),
    [
        ("openat", ["AT_FDCWD", '"/etc/passwd"', "O_RDONLY"], "missing_peer"),
        ("futex", ["0x2000", "FUTEX_WAIT", "0"], "spin_or_lock"),
        ("read", ["3", "0x1000", "10"], "network_wait"),
    ],
)
def test_a_call_that_the_end_of_time_caught_on_its_way_is_no_wait(
    tmp_path: Path, name: str, arguments: list[str], cause: str
) -> None:
    opened = Syscall(
        seq=1, name="openat", pid=2, arguments=["AT_FDCWD", '"/etc/passwd"', "O_RDONLY"], ret=3, ts_mono_ns=1
    )
    last = Syscall(seq=2, name=name, pid=2, arguments=arguments, path="/etc/passwd", ts_mono_ns=10**9)
    for seconds, waits in ((0.001, False), (5, True)):
        trigger = Trigger(seq=2, syscall_name=name, pid=2, ts_mono_ns=int((1 + seconds) * 10**9))
        directory = write_run(tmp_path, [opened, last], reason="time_limit", exit_code=None)
        run = load_run(directory)
        run.snapshot.trigger = trigger
        (directory / "snapshot.json").write_bytes(encode_json(run.snapshot))
        diagnosis = diagnose(load_run(directory))
        assert (cause in {item.cause for item in diagnosis.hypotheses}) == waits
        assert ("waits in" in diagnosis.headline) == waits


@pytest.mark.parametrize(
    ("name", "how", "waits"),
    [
        ("futex", "FUTEX_PRIVATE_FLAG|FUTEX_WAIT", True),
        ("futex", "FUTEX_WAIT_BITSET", True),
        ("futex", "FUTEX_PRIVATE_FLAG|FUTEX_WAKE", False),
        ("futex_time64", "FUTEX_CMP_REQUEUE", False),
        ("flock", "LOCK_EX", True),
        ("flock", "LOCK_UN", False),
    ],
)
def test_who_lets_go_of_a_lock_does_not_wait_for_it(name: str, how: str, waits: bool) -> None:
    assert (operation(Syscall(seq=1, name=name, arguments=["0x2000", how, "1"])) == "lock") is waits


def test_what_comes_while_an_answer_is_awaited_is_not_left_out() -> None:
    # A shipped run: a DHCP client receives its own packet in each round.
    shipped = Path(triage_tui.__file__).parent / "_recorded" / "20261121_001429_00000002"
    best = diagnose(load_run(shipped)).hypotheses[0]
    assert best.cause == "missing_peer"
    assert "nothing comes" not in best.explanation
    (against,) = best.contrary
    assert against.says == "it receives something in each round and asks again all the same"
    assert against.link.startswith("ev:syscall/97~")
    assert f"({against.link}) and asks again" in best.explanation
