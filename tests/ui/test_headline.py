"""The header in words: a sentence for every kind of trigger, and what stays of it where room is short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.exit_run import call
from triage_tui.runs.model import Loop, Probe, Reason, Snapshot, Statistics, Target, Trigger
from triage_tui.ui.headline import Headline, fitted, headline, what_happened, who
from triage_tui.ui.loading import load_view

LINE = Headline(
    who="snmpd (MIPS, pid 811)",
    what="is about to exit(1)",
    because='open("/etc/snmp/snmpd.conf") = ENOENT',
    ago="3 calls ago",
    printed="no configuration",
    verdict="Most likely: missing_file (0.93).",
    proposed="2 rules proposed.",
)


def snapshot(reason: Reason, loop: Loop | None = None, **trigger: Any) -> Snapshot:
    given = {"seq": 9, "syscall_name": "poll", "pid": 2, "tid": 2, **trigger}
    return Snapshot(
        run_id="x",
        reason=reason,
        created_at="",
        trigger=Trigger(**given),
        target=Target(program="/usr/sbin/snmpd", argv=["/usr/sbin/snmpd", "-f"], arch="mips"),
        loop=loop,
    )


ROUND = Loop(period=3, repeats=40, first_seq=1, last_seq=9, names=["open", "close", "open"], span_ms=2000.0)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (snapshot("exit", exit_code=1), "is about to exit(1)"),
        (snapshot("exit", exit_code=1, ended=True), "ended with exit(1)"),
        (snapshot("signal", signal="SIGSEGV"), "is about to be killed by SIGSEGV"),
        (
            snapshot("signal", signal="SIGSEGV", detail="SIGSEGV {si_signo=11, si_addr=0x00000010}"),
            "is about to be killed by SIGSEGV at address 0x10",
        ),
        (
            snapshot("signal", signal="SIGKILL", ended=True, sender=7),
            "was killed by SIGKILL, which process 7 sent",
        ),
        (snapshot("signal", signal="SIGABRT", sender=2), "was killed by SIGABRT, which it sent itself"),
        (snapshot("loop", ROUND), "repeats open, close again and again: 40 rounds in 2.0 s"),
        (snapshot("loop"), "repeats itself"),
        (snapshot("sleep_loop", ROUND), "sleeps in a loop: 40 rounds of open, close"),
        (snapshot("idle"), "waits in poll"),
        (
            snapshot("idle", detail="blocked in futex, accept4 for 3.0 s"),
            "has waited in futex, accept4 for 3.0 s",
        ),
        (snapshot("idle", spinning=True, tid=5), "computes in thread 5 and makes no calls"),
        (snapshot("idle", stopped="SIGSTOP", sender=4), "is stopped by SIGSTOP, which process 4 sent"),
        (snapshot("idle", syscall_name=""), "makes no calls any more"),
        (snapshot("syscall"), "was frozen at poll, as was wanted"),
        (snapshot("requested"), "was frozen by a person in poll"),
        (snapshot("requested", spinning=True), "was frozen by a person while it computed"),
        (
            snapshot("requested", ROUND, syscall_name="open"),
            "was frozen by a person: it repeats open, close again and again: 40 rounds in 2.0 s",
        ),
        (snapshot("time_limit"), "was still running in poll when its time was over"),
        (snapshot("emulator", detail="qemu: unhandled CPU"), "ends because qemu: unhandled CPU"),
        (snapshot("unknown"), "was stopped"),
    ],
)
def test_every_trigger_has_its_sentence(found: Snapshot, said: str) -> None:
    assert what_happened(found) == said


def test_of_a_loop_the_calls_are_named_that_tell_something() -> None:
    names = ["clock_gettime64", "fcntl64", "poll", "read", "clock_gettime64"]
    loop = Loop(period=5, repeats=3, first_seq=1, last_seq=9, names=names)
    assert what_happened(snapshot("sleep_loop", loop)) == "sleeps in a loop: 3 rounds of poll, read"
    loop.names = ["clock_gettime64"]
    assert what_happened(snapshot("loop", loop)) == "repeats clock_gettime64 again and again: 3 rounds"


def test_a_guest_that_waits_says_where_it_can_be_reached() -> None:
    found = snapshot("idle")
    found.statistics = Statistics(listening=["0.0.0.0:80", "[::]:80", "udp 0.0.0.0:53"])
    assert what_happened(found) == "waits in poll, listening on 0.0.0.0:80 and [::]:80 and 1 more"
    found.probes = [Probe(target="http 127.0.0.1:80/", outcome="answered")]
    assert what_happened(found) == "waits in poll, and its service answers (http 127.0.0.1:80/)"


def test_a_chosen_call_is_told_with_what_it_is_about() -> None:
    found = snapshot("syscall", syscall_name="connect")
    found.recent_syscalls = [call(9, "connect", [], None, peer="inet:10.0.0.1:80")]
    assert what_happened(found) == "was frozen at connect(inet:10.0.0.1:80), as was wanted"


@pytest.mark.parametrize(
    ("program", "argv", "said"),
    [
        ("/usr/sbin/snmpd", ["/usr/sbin/snmpd", "-f"], "snmpd (MIPS, pid 2)"),
        ("/bin/busybox", ["udhcpc", "-i", "eth0"], "udhcpc (busybox, MIPS, pid 2)"),
        ("/bin/busybox", ["busybox", "tail", "-f"], "tail (busybox, MIPS, pid 2)"),
        ("/bin/busybox", ["-sh"], "sh (busybox, MIPS, pid 2)"),
        ("", [], "? (MIPS, pid 2)"),
    ],
)
def test_the_program_is_called_as_it_was_started(program: str, argv: list[str], said: str) -> None:
    found = snapshot("exit")
    found.target.program, found.target.argv = program, argv
    assert who(found) == said


def test_the_sentence_of_a_run(tmp_path: Path) -> None:
    view = load_view(fixtures.make_exit_run(tmp_path / "ai_runs"), tmp_path)
    assert fitted(headline(view), 1000) == (
        "udhcpc (MIPSEL, pid 2) is about to exit(1): ioctl(SIOCGIFINDEX, eth0) = ENODEV 3 calls ago, then it"
        ' printed "SIOCGIFINDEX failed: No such device". Most likely: missing_interface (0.93).'
        " 1 rule proposed, 1 observes."
    )
    assert view.diagnosis is not None
    view.diagnosis.headline = ""
    assert ": ioctl(SIOCGIFINDEX, eth0) = ENODEV. Most likely: missing_interface (0.93)." in fitted(
        headline(view), 1000
    ), "without the words of the diagnosis, its evidence tells"
    view.diagnosis.healthy = True
    assert "This looks healthy: missing_interface (0.93)." in fitted(headline(view), 1000)
    view.run.diagnosis = None
    assert fitted(headline(view), 1000).endswith("is about to exit(1). No diagnosis yet.")


def test_what_matters_most_stays_where_room_is_short() -> None:
    assert fitted(LINE, 500) == (
        'snmpd (MIPS, pid 811) is about to exit(1): open("/etc/snmp/snmpd.conf") = ENOENT 3 calls ago, then'
        ' it printed "no configuration". Most likely: missing_file (0.93). 2 rules proposed.'
    )
    assert fitted(LINE, 150).endswith(
        "ENOENT 3 calls ago. Most likely: missing_file (0.93). 2 rules proposed."
    )
    assert fitted(LINE, 130).endswith("ENOENT 3 calls ago. Most likely: missing_file (0.93).")
    assert fitted(LINE, 77) == 'snmpd (MIPS, pid 811) is about to exit(1): open("/etc/snmp/snmpd.c… = ENOENT.'
    assert fitted(LINE, 45).startswith("snmpd (MIPS, pid 811) is about to exit(1)")
    long = LINE._replace(printed="word " * 60)
    assert 190 < cell_len(fitted(long, 208)) <= 208
    assert "2 rules proposed." in fitted(long, 208)


@pytest.mark.parametrize("room", [1, 10, 40, 77, 160, 400])
def test_hostile_text_is_safe_and_keeps_to_the_room(room: int) -> None:
    evil = "\x1b[2J\u202e漢" * 30
    found = snapshot("emulator", detail=evil)
    found.target.program, found.target.argv, found.target.arch = evil, [evil], evil
    line = LINE._replace(who=who(found), what=what_happened(found), printed="漢" * 100)
    assert cell_len(fitted(line, room)) <= room
    assert fitted(line, room).isprintable()
